#!/usr/bin/env bash
# Quality and speed of recall on a pair of conversations and questions, against a server of its own on an empty
# directory. Beside it, in the same run on the same texts, the peer: SQLite's FTS5 (BM25, porter stemmer).
set -euo pipefail

conversations=$1
questions=$2
meshlog=./target/release/meshlog
model=${MESHLOG_MODEL:-models/all-MiniLM-L6-v2}
data=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$data"' EXIT

"$meshlog" up --data "$data" --listen 127.0.0.1:0 --model "$model" >"$data/out" 2>"$data/err" &
server=$!
for _ in $(seq 100); do
    url=$(sed -n 's|^meshlog is listening on \(http://[0-9.:]*\).*|\1|p' "$data/out")
    [ -n "$url" ] && break
    sleep 0.1
done
if [ -z "${url:-}" ]; then
    echo "bench-recall: the server did not start:" >&2
    cat "$data/err" >&2
    exit 1
fi

echo "CPU: $(sed -n 's/^model name\t: //p' /proc/cpuinfo | head -1), $(nproc) cores, features:" \
    "$(grep -m1 -oE 'avx512f|avx2' /proc/cpuinfo | head -1)"
# The figures are of the first time that each question is asked: later its vector is cached.
"$meshlog" --url "$url" --json evaluate --import --conversations "$conversations" --questions "$questions" \
    >"$data/meshlog.json"
echo "the same questions once more, their vectors cached:"
"$meshlog" --url "$url" evaluate --conversations "$conversations" --questions "$questions"
python3 scripts/peer-fts5.py "$conversations" "$questions" >"$data/peer.json"
grep -E '^Vm(HWM|RSS)' "/proc/$server/status"
python3 - "$data/meshlog.json" "$data/peer.json" <<'PY'
import json, sys
ours, peer = (json.load(open(path)) for path in sys.argv[1:3])
latency = ours["latency_ms"]
print("asked for the first time, round trip in ms: " + ", ".join(f"{name} {latency[name]:.2f}" for name in latency))
print("\npeer: SQLite FTS5 (BM25, porter unicode61), in process, no embedding")
for name, value in peer.items():
    print(f"  {name:>16} {value:.3f}")
overall = ours["overall"]
figures = {f"recall_{unit}_{name}": value for unit in ("session", "turn") for name, value in (overall[unit] or {}).items()}
figures["recall_latency_p99_ms"] = ours["latency_ms"]["p99"]
figures["turn_r10_over_fts5"] = overall["turn"]["recall_at_10"] / max(peer["turn_r10"], 1e-9)
print(json.dumps({"figures": figures}))
PY
