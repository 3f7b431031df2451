#!/usr/bin/env bash
# make test: packages, validators, Swift tests, then the tests that run the six services as processes. Every part runs, whatever
# the one before said; the last line counts.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
mkdir -p .run
passed=0 failed=0 began=$SECONDS

part() { printf '== %s (at %d:%02d)\n' "$1" $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60)); }
count() { passed=$((passed + $1)); failed=$((failed + $2)); }

part "setup"
deploy/scripts/setup.sh test || exit 1
venv=$(deploy/scripts/venv.sh) || exit 1
if model=$(deploy/scripts/fetch-model.sh); then export EMBEDDING_MODEL_DIR=${EMBEDDING_MODEL_DIR:-$model}; fi

part "lint"
deploy/scripts/lint.sh | tee .run/lint.log
read -r ok bad < <(sed -n 's/^lint: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' .run/lint.log)
count "${ok:-0}" "${bad:-1}"

part "build"
if swift build --build-tests --explicit-target-dependency-import-check error > .run/test-build.log 2>&1; then
    part "swift test"
    # A module at a time: the tests of one run beside each other, those of all together would starve each other of two cores.
    export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=${SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH:-8}
    : > .run/swift-test.log
    for folder in Tests/*Tests; do
        swift test --skip-build --explicit-target-dependency-import-check error --filter "^$(basename "$folder")\\." > .run/swift-module.log 2>&1
        code=$?
        cat .run/swift-module.log >> .run/swift-test.log
        line=$(grep -E ' Test run with [0-9]+ test' .run/swift-module.log | tail -n 1)
        total=$(sed -n 's/.* Test run with \([0-9]*\) tests*.*/\1/p' <<< "$line")
        bad=$(grep -E '^✘ Test .* failed after' .run/swift-module.log | grep -cv 'Test run with')
        [ "$code" = 0 ] || [ "$bad" -gt 0 ] || bad=1
        printf '%-22s %4s tests, %s failed\n' "$(basename "$folder")" "${total:-0}" "$bad"
        if [ "$code" != 0 ]; then grep -E '^✘|recorded an issue|Fatal error|error:' .run/swift-module.log | head -n 30; fi
        count $((${total:-0} > bad ? ${total:-0} - bad : 0)) "$bad"
    done

    part "end to end"
    SUITE_CONFIGURATION=debug INDEXER_BINARY=.build/debug/indexer "$venv/bin/python" -m pytest -q -m "not longfault" --durations=10 Tests/EndToEnd Tests/Official 2>&1 | tee .run/pytest.log
    line=$(grep -E '[0-9]+ (passed|failed|error)' .run/pytest.log | tail -n 1)
    ok=$(grep -oE '[0-9]+ passed' <<< "$line" | grep -oE '[0-9]+')
    bad=$(grep -oE '[0-9]+ (failed|error)' <<< "$line" | grep -oE '[0-9]+' | awk "{ sum += \$1 } END { print sum + 0 }")
    [ -n "$line" ] || bad=1
    count "${ok:-0}" "${bad:-0}"
else
    grep -E 'error|warning:' .run/test-build.log | sort -u | head -n 40
    echo "the build failed (.run/test-build.log)"
    count 0 1
fi

part "end"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
