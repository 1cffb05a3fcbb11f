#!/usr/bin/env bash
# Runs the targets of fuzz/ under libFuzzer: `TARGET=name SECONDS_EACH=60 fuzz.sh`, all of them without TARGET.
# What was found interesting stays in target/fuzz/corpus, so that the next run goes on from there; what fails goes to
# target/fuzz/found. A stable toolchain is enough: LLVM's coverage pass is an ordinary codegen option.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

seconds=${SECONDS_EACH:-60}
out=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
command -v c++ >/dev/null || { echo 'fuzz: a C++ compiler is missing: apt-get install g++' >&2; exit 1; }

# With --target the flags are those of the engine alone, and not of build scripts.
flags='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-trace-compares'
flags+=' -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table --cfg=fuzzing'
env CARGO_TARGET_DIR="$out/build" RUSTFLAGS="$flags" \
  cargo build --quiet --release --locked --manifest-path fuzz/engine/Cargo.toml --target "$host"
engine=$out/build/$host/release/terrace-fuzz-engine

failed=()
for seeds in fuzz/seeds/${TARGET:-*}/; do
  name=$(basename "$seeds")
  [ -d "$seeds" ] || { echo "fuzz: there is no target $name" >&2; exit 1; }
  corpus=$out/corpus/$name found=$out/found/$name log=$out/$name.log
  mkdir -p "$corpus" "$found"
  # A unit that takes seconds or hundreds of megabytes is a mistake as well: parsing is bounded.
  if FUZZ_TARGET=$name "$engine" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -malloc_limit_mb=256 \
    -max_len=4096 -print_final_stats=1 -artifact_prefix="$found/" "$corpus" "$seeds" >"$log" 2>&1; then
    printf 'fuzz: %-20s %s\n' "$name" "$(grep -o 'cov: .* exec/s: [0-9]*' "$log" | tail -n 1)"
  else
    failed+=("$name")
    grep -v '^#' "$log" | tail -n 40
    printf 'fuzz: %-20s FAILED; see %s\n' "$name" "$log"
  fi
done
[ ${#failed[@]} = 0 ] || { echo "fuzz: failed: ${failed[*]}; the inputs are in $out/found" >&2; exit 1; }
