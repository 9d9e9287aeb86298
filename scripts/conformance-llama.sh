#!/usr/bin/env bash
# Has OpenAI's SDKs ask llama.cpp's own server through Meshlog and directly: at temperature 0 both must answer the same.
#
# Usage: scripts/conformance-llama.sh       after scripts/fetch-model.sh and scripts/fetch-chat-model.sh
#
# The server is built on first use (scripts/peers/fetch.sh). Both servers listen on loopback and end with this script.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly root
readonly name=gemma3-270m-on-llama
readonly weights="${MESHLOG_CHAT_MODEL:-$root/models/gemma3-270m.gguf}"

"$root/scripts/peers/fetch.sh" "$root/.cache/peers" llama
(cd "$root" && cargo build --locked --package meshlog)

directory=$(mktemp -d "$root/.cache/conformance.XXXXXX")
servers=()
stop() {
    for server in "${servers[@]}"; do
        kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true
    done
    rm -rf "$directory"
}
trap stop EXIT

free_port() {
    python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])'
}

# Waits until the server started last answers 200 at an address; its output is in the file named.
answers() {
    for _ in $(seq 600); do
        if python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1])' "$1" 2>/dev/null; then
            return
        fi
        kill -0 "${servers[-1]}" 2>/dev/null || break
        sleep 0.2
    done
    echo "conformance-llama: a server did not start:" >&2
    tail -40 "$2" >&2
    exit 1
}

# What it keeps of earlier prompts changes the last bits of probabilities, and so now and then a word: it keeps nothing.
llama=$(free_port)
"$root/.cache/peers/llama/llama-server" --host 127.0.0.1 --port "$llama" --model "$weights" --alias "$name" \
    --jinja --parallel 1 --no-cache-prompt --ctx-size 8192 >"$directory/llama.out" 2>&1 &
servers+=($!)
answers "http://127.0.0.1:$llama/health" "$directory/llama.out"

cat >"$directory/meshlog.toml" <<TOML
[[providers]]
name = "llama"
kind = "openai"
base_url = "http://127.0.0.1:$llama/v1"
models = [{ name = "$name" }]
TOML
meshlog=$(free_port)
(cd "$directory" && exec env -u MESHLOG_CHAT_MODEL "$root/target/debug/meshlog" up --listen "127.0.0.1:$meshlog" --data data \
    --model "${MESHLOG_MODEL:-$root/models/all-MiniLM-L6-v2}" --config meshlog.toml) >"$directory/meshlog.out" 2>&1 &
servers+=($!)
answers "http://127.0.0.1:$meshlog/v1/models" "$directory/meshlog.out"

options=(--base-url "http://127.0.0.1:$meshlog/v1" --direct "http://127.0.0.1:$llama/v1" --chat-model "$name" \
    --embedding-model all-MiniLM-L6-v2)
NO_PROXY='*' "$root/scripts/with-sdks.sh" bash -euc '
    "$MESHLOG_TEST_SDK_PYTHON" -B "$MESHLOG_TEST_SDK_SCRIPTS/local_models.py" "$@"
    "$MESHLOG_TEST_SDK_NODE" --preserve-symlinks --preserve-symlinks-main "$MESHLOG_TEST_SDK_SCRIPTS/local_models.mjs" "$@"
' conformance "${options[@]}"
