#!/usr/bin/env bash
# Tortures services, Redis and data centres with what the environment says (see `make help`).
# With BREAK, services and worker are built with the feature that lets a rule be broken, into places of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

arguments=(--seconds "$((${MINUTES:-10} * 60))" --topology "${TOPOLOGY:-standalone}" ${SEED:+--seed "$SEED"} ${UPDATE:+--update})
target=${CARGO_TARGET_DIR:-target}
if [ -n "${BREAK:-}" ]; then
  TERRACE_EDGE_BUILD=target/torture/edge TERRACE_EDGE_FEATURES=sabotage bash scripts/build-edge.sh
  cargo build --locked -p terrace-torture --bins --features sabotage
  exec "$target/debug/terrace-torture" "${arguments[@]}" --build target/torture/edge --break "$BREAK"
fi
bash scripts/build-edge.sh
cargo build --locked -p terrace-torture --bins
exec "$target/debug/terrace-torture" "${arguments[@]}"
