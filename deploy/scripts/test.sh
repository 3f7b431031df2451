#!/usr/bin/env bash
# make test: packages, validators, Swift tests, then the tests that run the six services as processes. Every part runs, whatever
# the one before said; the last line counts, the lines before it say what failed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
mkdir -p .run
passed=0 failed=0 began=$SECONDS
failures=.run/failures.log
: > "$failures"

part() { printf '== %s (at %d:%02d)\n' "$1" $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60)); }
count() { passed=$((passed + $1)); failed=$((failed + $2)); }
plain() { sed 's/\x1b\[[0-9;]*m//g'; }
# What failed of the log of one module's tests: each test once, with its first issue; a process that ended without one is told too.
swift_failures() {
    local module=$1 code=$2
    awk -v module="$module" -v code="$code" '
        /^✘ Test .* recorded an issue / {
            name = $0; sub(/^✘ Test /, "", name); sub(/ recorded an issue .*/, "", name)
            text = $0; sub(/^.* recorded an issue (at )?/, "", text)
            if (!(name in first)) { first[name] = text; order[++count] = name }
        }
        /^✘ Test .* failed after / && !/^✘ Test run with / {
            name = $0; sub(/^✘ Test /, "", name); sub(/ (with [0-9]+ test cases? )?failed after .*/, "", name)
            if (!(name in first)) { first[name] = "failed"; order[++count] = name }
        }
        /Fatal error|^error:/ && crash == "" { crash = $0 }
        /^✘ Test run with / { ended = 1 }
        NF { last = $0 }
        END {
            for (i = 1; i <= count; i++) printf "%s.%s: %s\n", module, order[i], first[order[i]]
            if (code != 0 && (!count || !ended)) printf "%s: exit code %d: %s\n", module, code, crash == "" ? last : crash
        }'
}

part "setup"
deploy/scripts/setup.sh test || exit 1
venv=$(deploy/scripts/venv.sh) || exit 1
if model=$(deploy/scripts/fetch-model.sh); then export EMBEDDING_MODEL_DIR=${EMBEDDING_MODEL_DIR:-$model}; fi

part "lint"
deploy/scripts/lint.sh | tee .run/lint.log
read -r ok bad < <(sed -n 's/^lint: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' .run/lint.log)
count "${ok:-0}" "${bad:-1}"
awk '/^lint: .* failed$/ && !/ passed, / { name = $2; getline; print "lint." name ": " $0 }' .run/lint.log >> "$failures"

part "build"
if swift build --build-tests --explicit-target-dependency-import-check error > .run/test-build.log 2>&1; then
    part "swift test"
    # A module at a time: the tests of one run beside each other, those of all together would starve each other of two cores.
    export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=${SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH:-8}
    : > .run/swift-test.log
    for folder in Tests/*Tests; do
        swift test --skip-build --explicit-target-dependency-import-check error --filter "^$(basename "$folder")\\." 2>&1 | plain > .run/swift-module.log
        code=${PIPESTATUS[0]}
        cat .run/swift-module.log >> .run/swift-test.log
        line=$(grep -E ' Test run with [0-9]+ test' .run/swift-module.log | tail -n 1)
        total=$(sed -n 's/.* Test run with \([0-9]*\) tests*.*/\1/p' <<< "$line")
        bad=$(grep -E '^✘ Test .* failed after' .run/swift-module.log | grep -cv 'Test run with')
        [ "$code" = 0 ] || [ "$bad" -gt 0 ] || bad=1
        printf '%-22s %4s tests, %s failed\n' "$(basename "$folder")" "${total:-0}" "$bad"
        if [ "$code" != 0 ]; then grep -E '^✘|recorded an issue|Fatal error|error:' .run/swift-module.log | head -n 30; fi
        swift_failures "$(basename "$folder")" "$code" < .run/swift-module.log >> "$failures"
        count $((${total:-0} > bad ? ${total:-0} - bad : 0)) "$bad"
    done

    part "end to end"
    SUITE_CONFIGURATION=debug INDEXER_BINARY=.build/debug/indexer "$venv/bin/python" -m pytest -q -m "not longfault" --durations=10 Tests/EndToEnd Tests/Official 2>&1 | tee .run/pytest.log
    line=$(grep -E '[0-9]+ (passed|failed|error)' .run/pytest.log | tail -n 1)
    ok=$(grep -oE '[0-9]+ passed' <<< "$line" | grep -oE '[0-9]+')
    bad=$(grep -oE '[0-9]+ (failed|error)' <<< "$line" | grep -oE '[0-9]+' | awk "{ sum += \$1 } END { print sum + 0 }")
    [ -n "$line" ] || bad=1
    count "${ok:-0}" "${bad:-0}"
    sed -nE 's/^(FAILED|ERROR) Tests\//pytest: /p' .run/pytest.log >> "$failures"
    [ -n "$line" ] || tail -n 1 .run/pytest.log | sed 's/^/pytest: /' >> "$failures"
else
    grep -E 'error|warning:' .run/test-build.log | sort -u | head -n 40
    echo "the build failed (.run/test-build.log)"
    grep -E 'error:' .run/test-build.log | sort -u | head -n 5 | sed 's/^/build: /' >> "$failures"
    count 0 1
fi

part "end"
if [ -s "$failures" ]; then
    echo "failed:"
    cut -c 1-240 "$failures" | head -n 25
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
