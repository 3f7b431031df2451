#!/usr/bin/env bash
# Offline validators: Dockerfile, compose file, YAML, shell scripts, Python, Swift's layout (`make format` settles most of what is found).
# All run; the exit code says whether one failed.
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
check "swift format" swift format lint --strict --recursive --parallel Package.swift Services Shared Tests
echo "lint: $passed passed, $failed failed"
[ $failed = 0 ]
