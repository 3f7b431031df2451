#!/usr/bin/env bash
# Prints the private Python environment of the tests, made or brought up to date when deploy/requirements-test.txt changed.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$PWD/.run/venv
wanted=deploy/requirements-test.txt
if ! cmp -s "$wanted" "$venv/installed.txt"; then
    echo "venv: installing the tests' Python packages" >&2
    mkdir -p .run
    python3 -m venv "$venv" >&2
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$wanted" >&2
    cp "$wanted" "$venv/installed.txt"
fi
echo "$venv"
