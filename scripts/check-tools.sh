#!/usr/bin/env bash
# Names what a machine lacks to build Meshlog, with the command that installs it on Debian and Ubuntu; with the argument
# "test" also what its tests need (Java and Maven, for Apache Kafka and a schema registry; openssl, for the certificates of its
# brokers; kcat; npm, for clients in JavaScript).
set -euo pipefail

missing=()
command -v cc >/dev/null || missing+=(build-essential)
# OpenSSL, in the Kafka client, is configured by Perl.
perl -MFindBin -MIPC::Cmd -e 1 2>/dev/null || missing+=(perl)
command -v python3 >/dev/null || missing+=(python3)
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
if [ "${1:-}" = test ]; then
    command -v java >/dev/null || missing+=(default-jre-headless)
    command -v mvn >/dev/null || missing+=(maven)
    command -v openssl >/dev/null || missing+=(openssl)
    command -v kcat >/dev/null || missing+=(kafkacat)
    command -v npm >/dev/null || missing+=(npm)
fi

if ! command -v cargo >/dev/null; then
    echo "check-tools: Rust is missing; install it with rustup (https://rustup.rs), then run make again" >&2
    exit 1
fi
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "check-tools: installing ${missing[*]}" >&2
    apt-get update -qq
    apt-get install -y -qq "${missing[@]}"
    exit 0
fi
echo "check-tools: missing ${missing[*]}; run: sudo apt-get install -y ${missing[*]}" >&2
exit 1
