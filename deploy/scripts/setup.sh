#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that are missing, and nothing else:  setup.sh run | test
# `run` is what building and running need, `test` adds what the tests and validators need.
set -euo pipefail

run=(pkg-config libpq-dev libhiredis-dev libcurl4-openssl-dev zlib1g-dev libssl-dev libsimdjson-dev libpcre2-dev
     libopenblas-dev libstemmer-dev postgresql redis-server python3 python3-venv util-linux procps)
test=(gcc libc6-dev wrk yamllint shellcheck)

case "${1:-run}" in
    run) wanted=("${run[@]}") ;;
    test) wanted=("${run[@]}" "${test[@]}") ;;
    *) echo "usage: setup.sh run|test" >&2; exit 64 ;;
esac

if ! command -v swift > /dev/null; then
    echo "setup: no Swift on PATH. Install Swift 6.3 (https://swift.org/install), then try again." >&2
    exit 1
fi
version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -n 1)
read -r major minor <<< "${version:-0 0}"
if (( major < 6 || (major == 6 && minor < 2) )); then
    echo "setup: Swift $major.$minor is too old, 6.2 or newer is needed." >&2
    exit 1
fi

missing=()
if command -v dpkg-query > /dev/null; then
    for package in "${wanted[@]}"; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null || true)
        [ "$state" = installed ] || missing+=("$package")
    done
else
    echo "setup: this is not Debian or Ubuntu. Install what these packages hold, by your system's names, then run make build:" >&2
    echo "  ${wanted[*]}" >&2
    for program in pkg-config redis-server psql python3 setpriv; do
        command -v "$program" > /dev/null || { echo "setup: $program is missing" >&2; exit 1; }
    done
    exit 0
fi
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || { echo "setup: missing packages and no sudo. As root: apt-get install ${missing[*]}" >&2; exit 1; }
    sudo=(sudo)
fi
echo "setup: installing ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" > "$log" 2>&1 && return
    tail -n 15 "$log" >&2
    echo "setup: apt-get $1 failed. Install by hand: apt-get install ${missing[*]}" >&2
    exit 1
}
apt update
apt install -y --no-install-recommends "${missing[@]}"
