#!/usr/bin/env bash
# Runs every fuzz target for a while, one after the other: scripts/fuzz.sh [MINUTES [TARGET...]]
#
# New inputs go to target/fuzz/corpus; the kept corpus in fuzz/corpus is only read. Where a target fails, the input is left
# in target/fuzz/failures: correct the fault, and keep the input in fuzz/corpus/TARGET under a name that says what it is.
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=${1:-1}
shift || true
tool=.cache/tools/bin/cargo-fuzz
if [ ! -x "$tool" ]; then
    echo "fuzz: installing cargo-fuzz" >&2
    cargo install --quiet --locked --debug --version 0.13.2 \
        --root .cache/tools --target-dir .cache/tools-target cargo-fuzz
    rm -rf .cache/tools-target
fi

# libFuzzer's coverage needs flags that the stable compiler keeps behind this switch. No sanitizer: no code here is unsafe.
export RUSTC_BOOTSTRAP=1
if [ $# -eq 0 ]; then
    mapfile -t targets < <("$tool" list)
else
    targets=("$@")
fi
for target in "${targets[@]}"; do
    found=target/fuzz/corpus/$target
    mkdir -p "$found" target/fuzz/failures
    echo "fuzz: $target for $minutes min" >&2
    "$tool" run --sanitizer none --target-dir target/fuzz "$target" "$found" "fuzz/corpus/$target" -- \
        -max_total_time=$((minutes * 60)) -rss_limit_mb=512 -timeout=5 -print_final_stats=1 \
        -artifact_prefix="$PWD/target/fuzz/failures/$target-"
done
