#!/usr/bin/env bash
# Builds the worker into edge/build and its static assets into edge/assets; does nothing when nothing has changed.
# wrangler.toml names it, so `wrangler deploy` and `wrangler dev` run it too.
# With TERRACE_POLICY=FILE it builds in another policy than terrace.toml, into TERRACE_EDGE_BUILD (both from the
# project's root), and with TERRACE_EDGE_FEATURES some features of the crate, into another place as well.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

policy=${TERRACE_POLICY:-terrace.toml}
out=${TERRACE_EDGE_BUILD:-edge/build}
features=${TERRACE_EDGE_FEATURES:-}
if [ "$policy$features" != terrace.toml ] && [ "$out" = edge/build ]; then
  echo 'edge/build is for terrace.toml: TERRACE_EDGE_BUILD says where another worker goes' >&2
  exit 1
fi
inputs=$(find edge shared Cargo.toml Cargo.lock "$policy" scripts/env.sh scripts/build-edge.sh scripts/build-site.mjs \
  scripts/strip-names.mjs -type f -not -path 'edge/build/*' -not -path 'edge/assets/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-64)
if [ "$(cat "$out/.inputs" 2>/dev/null)" = "$inputs" ] && [ -d edge/assets ]; then
  exit 0
fi
if ! [ -x "$WASM_BINDGEN_BIN" ] || ! [ -x "$WASM_OPT_BIN" ] || ! [ -x "$ESBUILD_BIN" ]; then
  echo 'the tools for the worker are missing: run make setup' >&2
  exit 1
fi
node scripts/build-site.mjs
# The worker is built for size; native crates keep their own release profile.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=s CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
mkdir -p "$(dirname "$out")"
TERRACE_POLICY=$PWD/$policy with_wasm worker-build --release --out-dir "$(realpath --relative-to edge "$out")" edge \
  ${features:+--features "$features"}
node scripts/strip-names.mjs "$out"
node scripts/check-wasm.mjs "$out"
printf '%s' "$inputs" >"$out/.inputs"
