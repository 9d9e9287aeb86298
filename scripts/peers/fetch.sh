#!/usr/bin/env bash
# Fetches the peers of bench-append into a folder: scripts/peers/fetch.sh FOLDER [kafka] [nats]
#
# Kafka comes as jars from Maven Central (44 MB), each verified by its SHA-256 sum in kafka/libs.sha256; NATS is built by Go
# from the versions and sums in nats/go.mod and nats/go.sum. What is there and right is not fetched again.
set -euo pipefail

folder=$(realpath -m "$1")
shift
cd "$(dirname "$0")"

fail() {
    echo "bench-append: $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null ||
        fail "the command '$1' is missing; install $2, or leave the peer out: make bench-append PEERS=none"
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
    echo "bench-append: fetching Kafka" >&2
    mvn --quiet --batch-mode --strict-checksums --file kafka/pom.xml dependency:copy-dependencies \
        "-DoutputDirectory=$libs" >&2
    jars_are_right "$libs" || fail "the jars in $libs are not those of scripts/peers/kafka/libs.sha256; none of them was run"
}

fetch_nats() {
    need go "Go 1.26 or later"
    echo "bench-append: building NATS, unless it is there" >&2
    mkdir -p "$folder/nats"
    go -C nats build -buildvcs=false -mod=readonly -o "$folder/nats/" . github.com/nats-io/nats-server/v2
}

for peer in "$@"; do
    "fetch_$peer"
done
