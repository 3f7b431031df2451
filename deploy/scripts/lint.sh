#!/usr/bin/env bash
# Offline validators: Dockerfile, compose file, YAML, shell scripts, Python; Swift format is shown. All run; the exit code says whether one failed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
venv=$(deploy/scripts/venv.sh) || exit 1
failed=0 passed=0
check() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then passed=$((passed + 1)); else
        failed=$((failed + 1))
        printf 'lint: %s failed\n%s\n' "$name" "$(head -n 40 <<< "$output")"
    fi
}
mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
mapfile -t python < <(git ls-files '*.py')
mapfile -t yaml < <(git ls-files '*.yml' '*.yaml')
check deploy/Dockerfile "$venv/bin/hadolint" deploy/Dockerfile
check docker-compose.yml "$venv/bin/check-jsonschema" --builtin-schema vendor.compose-spec docker-compose.yml
check yamllint yamllint "${yaml[@]}"
check shellcheck shellcheck "${scripts[@]}"
check python python3 -m py_compile "${python[@]}"
# Findings of `swift format` are shown, not counted: `make format` settles what is a matter of layout.
swift format lint --recursive --parallel Services Shared Tests 2>&1 | grep -c warning: | sed 's/^/lint: swift format finds /' >&2
echo "lint: $passed passed, $failed failed"
[ $failed = 0 ]
