"""How the six services start: words on their command line, and servers that come later."""
import os
import subprocess
import time

import pytest
from running import CONFIGURATION, make_suite
from suite import SERVICES, binaries


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("words", [["foo"], ["--help"], ["migrate", "sideways"]])
def test_words_that_mean_nothing_are_a_usage_error(service, words):
    ended = subprocess.run(
        [os.path.join(binaries(CONFIGURATION), service), *words], env={"PORT": "none"}, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 64
    assert ended.stderr.startswith(f"usage: {service}") and ended.stderr.count("\n") == 1
    assert ended.stdout == ""


def test_the_order_of_starting_does_not_matter():
    suite, remove = make_suite()
    try:
        suite.stop()
        for service in suite.services.values():
            service.spawn()
        waiting = {suite[name] for name in ("orchestrator", "data-harvester", "indexer")}
        deadline = time.monotonic() + 30
        while waiting:
            assert time.monotonic() < deadline and all(service.is_running for service in waiting)
            waiting = {service for service in waiting if "service.waiting" not in service.log_tail()}
            time.sleep(0.03)
        suite.start_servers()
        for service in suite.services.values():
            service.wait_until_ready()
        assert suite.call("GET", "/api/health/services").status == 200
    finally:
        remove()
