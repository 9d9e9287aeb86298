#!/usr/bin/env bash
# Has Miri look for undefined behaviour in the embedder's kernels: the plain one and that of AVX2. (Miri does not know the instructions of
# AVX-512.) The kernels are built in a crate of their own, without the program's other dependencies, which Miri would take very long for.
#
# Needs `rustup toolchain install nightly --component miri,rust-src`.
set -euo pipefail
cd "$(dirname "$0")/.."

sources=$PWD/processors/src/embedding/bert
crate=.cache/miri
version() {
    grep -A 1 "^name = \"$1\"$" Cargo.lock | sed -n 's/version = "\(.*\)"/=\1/p' | tail -n 1
}
mkdir -p "$crate/src"
cat >"$crate/Cargo.toml" <<TOML
[package]
name = "kernels"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
pulp = { version = "$(version pulp)", features = ["x86-v4"] }
rayon = "$(version rayon)"

[dev-dependencies]
proptest = "$(version proptest)"
TOML
{
    echo '#![allow(dead_code)]'
    echo 'mod embedding { pub mod bert {'
    for module in elementary kernel levels panel spread; do
        [ -d "$sources/$module" ] && path="$sources/$module/mod.rs" || path="$sources/$module.rs"
        echo "#[path = \"$path\"] pub(crate) mod $module;"
    done
    echo '} }'
} >"$crate/src/lib.rs"

cd "$crate"
export MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=2
for features in "" "-Ctarget-feature=+avx2,+fma,+bmi1,+bmi2,+f16c,+lzcnt,+movbe,+popcnt,+xsave"; do
    RUSTFLAGS=$features cargo +nightly miri test --quiet -- every_kernel_sums a_number_is_read
done
