"""What the six services say to words on their command line, before they look at anything else."""
import os
import subprocess

import pytest
from running import CONFIGURATION
from suite import SERVICES, binaries


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("words", [["foo"], ["--help"], ["migrate", "sideways"]])
def test_words_that_mean_nothing_are_a_usage_error(service, words):
    ended = subprocess.run(
        [os.path.join(binaries(CONFIGURATION), service), *words], env={"PORT": "none"}, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 64
    assert ended.stderr.startswith(f"usage: {service}") and ended.stderr.count("\n") == 1
    assert ended.stdout == ""
