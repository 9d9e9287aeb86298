#!/usr/bin/env bash
# How fast the gateway takes messages in, every one durable before it is acknowledged, against a server of its own on an
# empty directory; the load generator (wrk) is on the same machine and shares its cores. Closed loop, keep-alive.
#
# SECONDS_EACH=10   how long each load runs
# BACKGROUND=idle   stages and views get only the time that nobody else wants: shows the way in alone
set -euo pipefail

meshlog=${MESHLOG:-./target/release/meshlog}
model=${MESHLOG_MODEL:-models/all-MiniLM-L6-v2}
seconds=${SECONDS_EACH:-10}

if ! command -v wrk >/dev/null; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "bench-http: wrk is missing; run: sudo apt-get install -y wrk" >&2
        exit 1
    fi
    apt-get update -qq
    apt-get install -y -qq wrk
fi

mkdir -p .cache
data=$(mktemp -d .cache/bench-http.XXXXXX)
server=
trap 'kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; rm -rf "$data"' EXIT

start() {
    # Before it is looked into: the shell of the server opens it when it comes to it.
    : >"$data/out"
    "$meshlog" up --data "$data/$1" --listen 127.0.0.1:0 --model "$model" >"$data/out" 2>"$data/err" &
    server=$!
    for _ in $(seq 100); do
        url=$(sed -n 's|^meshlog is listening on \(http://[0-9.:]*\).*|\1|p' "$data/out")
        [ -n "$url" ] && break
        sleep 0.1
    done
    if [ -z "$url" ]; then
        echo "bench-http: the server did not start:" >&2
        cat "$data/err" >&2
        exit 1
    fi
}

stop() {
    kill "$server"
    wait "$server" || true
}

# All threads but those between a socket and the disk.
hold_back() {
    local task
    for task in /proc/"$server"/task/*; do
        case $(cat "$task/comm") in
            tokio* | log-*) ;;
            *) chrt --idle --pid 0 "${task##*/}" ;;
        esac
    done
}

# The messages on the log.
stored() {
    curl -sf "$url/v1/topics" | python3 -c '
import json, sys
topics = json.load(sys.stdin)["topics"]
print(sum(part["end"] for topic in topics if topic["name"] == "messages" for part in topic["partitions"]))'
}

# "name milliseconds" of processor time for each kind of thread of the server.
processor_time() {
    local task
    for task in /proc/"$server"/task/*; do
        sed 's/^[0-9]* (\(.*\)) . \(.*\)$/\1\t\2/' "$task/stat" 2>/dev/null || true
    done | awk -F'\t' -v tick="$(getconf CLK_TCK)" '{
        kind = $1; split($2, field, " ")
        if (kind ~ /^tokio/) kind = "gateway"; else if (kind !~ /^log-/) kind = "background"
        used[kind] += (field[11] + field[12]) * 1000 / tick
    } END { for (kind in used) print kind, used[kind] }' | sort
}

# load NAME CONNECTIONS LINES
load() {
    start "$1"
    [ "${BACKGROUND:-}" = idle ] && hold_back
    local before after figures
    wrk --threads 1 --connections "$2" --duration 2s --script scripts/bench-http.lua "$url" -- "$3" >/dev/null
    before=$(stored)
    processor_time >"$data/before"
    figures=$(wrk --threads 1 --connections "$2" --duration "${seconds}s" --timeout 30s --script scripts/bench-http.lua \
        "$url" -- "$3" | sed -n 's/^figures //p')
    processor_time >"$data/after"
    after=$(stored)
    python3 - "$1" "$2" "$3" "$((after - before))" "$data/before" "$data/after" $figures <<'PY'
import sys
name, connections, lines, stored, before, after, *figures = sys.argv[1:]
connections, lines, stored = int(connections), int(lines), int(stored)
figure = {key: float(value) for key, value in (pair.split("=") for pair in figures)}
acknowledged = int(figure["requests"] - figure["refused"]) * lines
used = [dict((k, float(v)) for k, v in (line.split() for line in open(path))) for path in (before, after)]
each = {kind: (used[1][kind] - used[0].get(kind, 0)) * 1000 / max(stored, 1) for kind in used[1]}
print(f"{name}: {connections} connections, {lines} a request: {acknowledged / figure['seconds']:,.0f} messages/s, "
      f"p50 {figure['p50_ms']:.2f} ms, p99 {figure['p99_ms']:.2f} ms, max {figure['max_ms']:.2f} ms")
print("  processor time a message in microseconds: " + ", ".join(f"{kind} {value:.1f}" for kind, value in each.items()))
print(f"  acknowledged {acknowledged}, on the log {stored}, refused {figure['refused']:.0f}, failed {figure['failed']:.0f}")
# What was under way when the load ended may be on the log without having been acknowledged.
if not acknowledged <= stored <= acknowledged + 2 * connections * lines:
    sys.exit(f"bench-http: {acknowledged} messages were acknowledged, but the log has {stored} more than before")
if figure["refused"] or figure["failed"]:
    sys.exit("bench-http: requests were refused or failed")
PY
    stop
}

echo "CPU: $(sed -n 's/^model name\t: //p' /proc/cpuinfo | head -1), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg);" \
    "stages and views ${BACKGROUND:-running as always}"
load single 64 1
load lines 4 1000
