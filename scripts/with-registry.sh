#!/usr/bin/env bash
# Runs a command beside a schema registry of its own (Apicurio), whose address with Confluent's API it has in
# MESHLOG_TEST_REGISTRY:
#
#     scripts/with-kafka.sh scripts/with-registry.sh cargo test -p meshlog-pipeline kafka
#
# The registry listens on loopback and keeps its data in memory. It comes from Maven Central, verified by the sum in
# scripts/peers/registry/archive.sha256, into .cache/peers.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly root
readonly home="$root/.cache/peers/registry"

"$root/scripts/peers/fetch.sh" "$root/.cache/peers" registry
data=$(mktemp -d "$root/.cache/registry.XXXXXX")
registry=
stop() {
    if [ -n "$registry" ]; then
        kill "$registry" 2>/dev/null && wait "$registry" 2>/dev/null || true
    fi
    rm -rf "$data"
}
trap stop EXIT

port=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
# Nothing of it is needed for long: what is compiled quickly starts in half the time.
(cd "$data" && QUARKUS_HTTP_HOST=127.0.0.1 QUARKUS_HTTP_PORT=$port exec java -Xmx256m -XX:TieredStopAtLevel=1 \
    -jar "$home"/apicurio-registry-app-*-runner.jar) >"$data/out" 2>&1 &
registry=$!
# It begins to listen when it is ready.
listens() {
    (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}
for _ in $(seq 300); do
    if listens || ! kill -0 "$registry" 2>/dev/null; then
        break
    fi
    sleep 0.1
done
if ! listens; then
    echo "with-registry: the registry did not start:" >&2
    tail -40 "$data/out" >&2
    exit 1
fi
MESHLOG_TEST_REGISTRY="http://127.0.0.1:$port/apis/ccompat/v7" "$@"
