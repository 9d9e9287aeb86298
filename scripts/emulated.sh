#!/usr/bin/env bash
# Do processors that this machine is not give the same vectors? Runs the embedder on emulated ones: without AVX, with AVX2 and no AVX-512, and an
# ARM one where a compiler for it is installed. An instruction that a processor has not ends its program. Vectors by int8 are compared
# bit by bit with this machine's own.
#
#   emulated.sh MODEL
#
# Needs qemu-user; for ARM also gcc-aarch64-linux-gnu, g++-aarch64-linux-gnu and `rustup target add aarch64-unknown-linux-gnu`.
set -euo pipefail
cd "$(dirname "$0")/.."

model=$(realpath "$1")
arm=aarch64-unknown-linux-gnu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
    echo "emulated: $1" >&2
    exit 1
}

# The newest program of the embedding benchmark in a target folder.
newest() {
    ls -t "$1"/deps/embedding-* | grep -v '\.d$' | head -n 1
}

command -v qemu-x86_64 >/dev/null || fail "there is no qemu-x86_64; install qemu-user"
build=(cargo bench --profile dev --locked -p meshlog-processors --bench embedding --no-run)
"${build[@]}"
python3 - "$folder/texts" <<'PYTHON'
import json, pathlib, sys

lines = pathlib.Path("examples/conversations.jsonl").read_text().splitlines()[:8]
texts = ["", "ok", "你好，世界 🎉", "lamps and harbours " * 40] + [json.loads(line)["text"] for line in lines]
pathlib.Path(sys.argv[1]).write_text(json.dumps(texts))
PYTHON

# Embeds the texts with a command, as $1.
embed() {
    local name=$1
    shift
    printf '{"texts": "%s", "batch": 6, "vectors": "%s"}\n' "$folder/texts" "$folder/$name" |
        "$@" --model "$model" 2>/dev/null | sed -n "s/.*ready\":\"\(.*\)\"}/emulated: $name embeds: \1/p"
    [ -s "$folder/$name" ] || fail "$name ended before it had embedded anything"
    cmp "$folder/$name" "$folder/this-machine" || fail "$name gives other vectors than this machine"
}

program=$(newest target/debug)
embed this-machine "$program"
embed nehalem qemu-x86_64 -cpu Nehalem "$program"
embed haswell qemu-x86_64 -cpu Haswell "$program"
if command -v qemu-aarch64 >/dev/null && command -v aarch64-linux-gnu-g++ >/dev/null && rustup target list --installed | grep -q "$arm"; then
    # The Kafka client's own script asks for "gcc" by name.
    mkdir "$folder/bin"
    ln -s "$(command -v aarch64-linux-gnu-gcc)" "$folder/bin/gcc"
    ln -s "$(command -v aarch64-linux-gnu-g++)" "$folder/bin/g++"
    PATH=$folder/bin:$PATH CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++ "${build[@]}" --target "$arm"
    embed cortex-a72 qemu-aarch64 -cpu cortex-a72 -L /usr/aarch64-linux-gnu "$(newest "target/$arm/debug")"
else
    echo "emulated: no compiler for ARM, or no qemu-aarch64; see the beginning of this script"
fi
echo "emulated: all vectors are equal"
