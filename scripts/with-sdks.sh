#!/usr/bin/env bash
# Runs a command with OpenAI's own SDKs, and clients that people use, at hand:
#
#     scripts/with-sdks.sh cargo test --test system unmodified
#
# MESHLOG_TEST_SDK_PYTHON is a Python with the packages of tests/sdks/requirements.txt. MESHLOG_TEST_SDK_NODE is a Node, and
# MESHLOG_TEST_SDK_SCRIPTS a folder in which the programs of tests/sdks find the packages of tests/sdks/package-lock.json (run
# them with --preserve-symlinks --preserve-symlinks-main). All of it comes from the Python package index and the npm registry,
# verified by the sums in these two files, into .cache/sdks (330 MB). The npm packages want a Node that few systems have: it
# is one of them.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly root
readonly listed="$root/tests/sdks" sdks="$root/.cache/sdks"

fail() {
    echo "with-sdks: $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null || fail "the command '$1' is missing; install it, for example: sudo apt-get install $2"
}

# Whether a folder was made for this description; it is written last, so what was cut short is made again.
is_made_for() {
    [ "$2" = "$(cat "$1/made-for" 2>/dev/null)" ]
}

fetch_python() {
    need python3 python3
    local home=$sdks/python made_for
    made_for=$(python3 --version && sha256sum <"$listed/requirements.txt")
    is_made_for "$home" "$made_for" && return
    rm -rf "$home"
    echo "with-sdks: Python packages" >&2
    # Debian keeps what puts pip into a new environment in a package of its own; the pip that is here does as well.
    python3 -m venv --without-pip "$home"
    python3 -m pip --python "$home/bin/python" install --quiet --disable-pip-version-check --require-hashes \
        --only-binary=:all: --requirement "$listed/requirements.txt" >&2 ||
        fail "pip could not install tests/sdks/requirements.txt; check the network and pip's index settings, then run again"
    echo "$made_for" >"$home/made-for"
}

fetch_node() {
    need npm npm
    local home=$sdks/node made_for
    made_for=$(uname -sm && cat "$listed/package.json" "$listed/package-lock.json" | sha256sum)
    is_made_for "$home" "$made_for" && return
    rm -rf "$home"
    mkdir -p "$home"
    echo "with-sdks: npm packages" >&2
    cp "$listed/package.json" "$listed/package-lock.json" "$home/"
    # npm says that its own Node is too old for some of them; another runs them.
    (cd "$home" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null) ||
        fail "npm could not install tests/sdks/package-lock.json; check the network and npm's settings, then run again"
    ln -s ../../../tests/sdks "$home/scripts"
    echo "$made_for" >"$home/made-for"
}

fetch_python
fetch_node
export MESHLOG_TEST_SDK_PYTHON="$sdks/python/bin/python"
export MESHLOG_TEST_SDK_SCRIPTS="$sdks/node/scripts"
node=$(find "$sdks/node/node_modules" -maxdepth 3 -path '*/node-linux-*/bin/node' -print -quit)
export MESHLOG_TEST_SDK_NODE="${node:-$(command -v node)}"
exec "$@"
