#!/usr/bin/env bash
# Prints a private Python environment, made or brought up to date when its requirements changed:  venv.sh [test | bench]
set -euo pipefail
cd "$(dirname "$0")/../.."
purpose=${1:-test}
case $purpose in
    test) venv=$PWD/.run/venv ;;
    bench) venv=$PWD/.run/venv-bench ;;
    *) echo "usage: venv.sh [test | bench]" >&2; exit 64 ;;
esac
wanted=deploy/requirements-$purpose.txt
state=$(cat deploy/requirements-test.txt "$wanted")
if [ "$state" != "$(cat "$venv/installed.txt" 2> /dev/null)" ]; then
    echo "venv: installing the Python packages of $wanted" >&2
    mkdir -p .run
    python3 -m venv "$venv" >&2
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$wanted" >&2
    printf '%s\n' "$state" > "$venv/installed.txt"
fi
echo "$venv"
