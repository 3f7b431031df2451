#!/usr/bin/env bash
# make run: missing packages, the model, the build, then the suite with a sample catalogue until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/scripts/setup.sh run
if model=$(deploy/scripts/fetch-model.sh); then
    export EMBEDDING_MODEL_DIR="${EMBEDDING_MODEL_DIR:-$model}"
else
    echo "run: going on without the language model; the hashing fallback finds words, not meanings" >&2
fi
echo "run: building (some minutes the first time)" >&2
mkdir -p .run
if ! swift build -c release --explicit-target-dependency-import-check error > .run/build.log 2>&1; then
    grep -E "error|warning" .run/build.log | head -n 20 >&2 || true
    echo "run: the build failed, see .run/build.log" >&2
    exit 1
fi
exec python3 deploy/scripts/run.py "$@"
