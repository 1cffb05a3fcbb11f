#!/usr/bin/env bash
# Runs the targets of fuzz/ under libFuzzer, one on each core: `SECONDS_EACH=60 TARGET=name fuzz.sh`, all without TARGET.
# What was found interesting stays in target/fuzz/corpus, so that the next run goes on from there; what fails goes to
# target/fuzz/found. A stable toolchain is enough: LLVM's coverage pass is an ordinary codegen option.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

export SECONDS_EACH=${SECONDS_EACH:-60}
export out=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
export engine=$out/build/$host/fuzz/engine

# With --target the flags are those of the engine alone, and not of build scripts.
build() {
  local flags='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-trace-compares'
  flags+=' -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table --cfg=fuzzing'
  command -v c++ >/dev/null || { echo 'fuzz: a C++ compiler is missing: apt-get install g++' >&2; return 1; }
  CARGO_TARGET_DIR="$out/build" RUSTFLAGS="$flags" \
    cargo build --quiet --profile fuzz --locked -p terrace-fuzz --bin engine --target "$host"
}

# One target. A unit that takes seconds or hundreds of megabytes is a mistake as well: parsing is bounded.
run() {
  local name=$1
  local corpus=$out/corpus/$name found=$out/found/$name log=$out/$name.log
  mkdir -p "$corpus" "$found"
  if FUZZ_TARGET=$name "$engine" -max_total_time="$SECONDS_EACH" -timeout=5 -rss_limit_mb=1024 -malloc_limit_mb=256 \
    -max_len=4096 -artifact_prefix="$found/" "$corpus" "fuzz/seeds/$name" >"$log" 2>&1; then
    printf 'fuzz: %-20s %s\n' "$name" "$(grep -o 'cov: .* exec/s: [0-9]*' "$log" | tail -n 1)"
  else
    grep -v '^#' "$log" | tail -n 40
    printf 'fuzz: %-20s FAILED; the input is in %s\n' "$name" "$found"
    return 1
  fi
}
export -f run

build
if [ -n "${TARGET:-}" ]; then
  [ -d "fuzz/seeds/$TARGET" ] || { echo "fuzz: $TARGET is none of" fuzz/seeds/* >&2; exit 1; }
  run "$TARGET"
else
  # shellcheck disable=SC2012 # names of targets are letters and hyphens
  ls fuzz/seeds | xargs -P "$(getconf _NPROCESSORS_ONLN)" -I{} bash -euc 'run {}'
fi
