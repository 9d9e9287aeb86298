#!/usr/bin/env bash
# Runs a command with other clients of Kafka at hand: kcat on the path, Kafka's own tools on the class path in
# MESHLOG_TEST_KAFKA_LIBS, and packages for Python in the folder MESHLOG_TEST_PYTHON (for PYTHONPATH):
#
#     scripts/with-kafka.sh scripts/with-registry.sh scripts/with-clients.sh cargo test --test system other_clients
#
# The packages come from the Python package index, verified by the sums in scripts/peers/python/requirements.txt, into
# .cache/peers.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly root

"$root/scripts/peers/fetch.sh" "$root/.cache/peers" kafka python
export MESHLOG_TEST_KAFKA_LIBS="$root/.cache/peers/kafka/*"
export MESHLOG_TEST_PYTHON="$root/.cache/peers/python"
exec "$@"
