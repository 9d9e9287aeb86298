#!/usr/bin/env bash
# Runs a command beside an Apache Kafka broker of its own, which scripts/cluster.py starts, ends and names in the environment:
#
#     scripts/with-kafka.sh cargo test -p meshlog-pipeline kafka
set -euo pipefail

exec "$(dirname "${BASH_SOURCE[0]}")/cluster.py" run -- "$@"
