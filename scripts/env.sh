# Where the project's tools are; sourced by the other scripts and by the Makefile's recipes, from the project's root.
# shellcheck shell=bash
export TERRACE_CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/terrace"
export WORKER_BUILD_VERSION=0.8.7
export WASM_BINDGEN_VERSION=0.2.129
# The number grows when scripts/setup.sh lays the toolchain out differently.
export WASM_TOOLCHAIN="$TERRACE_CACHE/wasm-toolchain-1"

# What worker-build would otherwise download.
export WASM_BINDGEN_BIN="$TERRACE_CACHE/wasm-bindgen-cli-$WASM_BINDGEN_VERSION/bin/wasm-bindgen"
export ESBUILD_BIN="$PWD/node_modules/.bin/esbuild"
export WASM_OPT_BIN="$PWD/node_modules/.bin/wasm-opt"
export PATH="$PWD/node_modules/.bin:$TERRACE_CACHE/worker-build-$WORKER_BUILD_VERSION/bin:$TERRACE_CACHE/wasm-bindgen-cli-$WASM_BINDGEN_VERSION/bin:$PATH"

# Quiet local runs.
export WRANGLER_SEND_METRICS=false
export CLOUDFLARE_CF_FETCH_ENABLED=false

export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner

# Runs a command with a toolchain that has the wasm target, and with a build directory of its own,
# so that changing between toolchains never rebuilds anything.
with_wasm() {
  if [ -e "$WASM_TOOLCHAIN/ready" ]; then
    CARGO_TARGET_DIR="$PWD/target/wasm" RUSTUP_TOOLCHAIN=terrace-wasm \
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-22 "$@"
  else
    CARGO_TARGET_DIR="$PWD/target/wasm" "$@"
  fi
}
