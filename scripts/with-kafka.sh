#!/usr/bin/env bash
# Runs a command beside an Apache Kafka broker of its own, whose address it has in MESHLOG_TEST_KAFKA and whose process id in
# MESHLOG_TEST_KAFKA_PID; Kafka's jars are in MESHLOG_KAFKA_LIBS:
#
#     scripts/with-kafka.sh cargo test -p meshlog-pipeline kafka
#
# The broker listens on loopback and keeps its data in a folder that is removed at the end. It comes from Maven Central, verified
# by the sums in scripts/peers/kafka/libs.sha256, into .cache/peers.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly root
readonly libs="$root/.cache/peers/kafka"
# Any will do; each broker has an empty folder.
readonly cluster="bWVzaGxvZy10ZXN0LWJyaw"

"$root/scripts/peers/fetch.sh" "$root/.cache/peers" kafka
data=$(mktemp -d "$root/.cache/kafka.XXXXXX")
broker=
stop() {
    if [ -n "$broker" ]; then
        kill "$broker" 2>/dev/null && wait "$broker" 2>/dev/null || true
    fi
    rm -rf "$data"
}
trap stop EXIT

read -r port controller < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in sockets))')
sed "s|BROKER_PORT|$port|g; s|CONTROLLER_PORT|$controller|g; s|FOLDER|$data|g" \
    "$root/scripts/peers/kafka/server.properties" >"$data/server.properties"

java -cp "$libs/*" kafka.tools.StorageTool format -t "$cluster" -c "$data/server.properties" >"$data/out" 2>&1 ||
    { cat "$data/out" >&2; exit 1; }
java -Xmx512m -cp "$libs/*" kafka.Kafka "$data/server.properties" >>"$data/out" 2>&1 &
broker=$!
for _ in $(seq 300); do
    if grep -q "Kafka Server started" "$data/out"; then
        break
    fi
    if ! kill -0 "$broker" 2>/dev/null; then
        break
    fi
    sleep 0.1
done
if ! grep -q "Kafka Server started" "$data/out"; then
    echo "with-kafka: the broker did not start:" >&2
    tail -40 "$data/out" >&2
    exit 1
fi
MESHLOG_TEST_KAFKA="127.0.0.1:$port" MESHLOG_TEST_KAFKA_PID=$broker MESHLOG_KAFKA_LIBS="$libs" "$@"
