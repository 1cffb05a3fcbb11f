#!/usr/bin/env bash
# Sets up what the builds and tests need, once: `setup.sh base` for `make start`, `setup.sh test` for `make test`,
# `setup.sh peers` for the other caches of `make conformance PEERS=1`, `setup.sh bench` for what `make bench` measures beside.
# Tools live by version under $XDG_CACHE_HOME/terrace, where a second clone finds them. Runs again in a moment.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

# Reports a step that does something: `step NAME command…`, silent unless it fails.
step() {
  local name=$1 began=$SECONDS log
  shift
  log=$(mktemp)
  printf 'setup: %s … ' "$name"
  if "$@" >"$log" 2>&1; then
    printf 'done in %d s\n' $((SECONDS - began))
    rm -f "$log"
  else
    printf 'failed\n'
    tail -n 30 "$log" >&2
    rm -f "$log"
    return 1
  fi
}

fail() {
  printf 'setup: %s\n' "$1" >&2
  printf 'setup: mend it with: %s\n' "$2" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Installs Debian packages that are missing; the lists are fetched only if they do not know them.
apt_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return 0
  command -v apt-get >/dev/null || fail "missing: ${missing[*]}" "your package manager, then run this again"
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || fail "missing: ${missing[*]}" "apt-get install ${missing[*]} as root"
  install_packages() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" ||
      { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; }
  }
  step "Debian packages ${missing[*]}" install_packages ||
    fail "missing: ${missing[*]}" "apt-get update && apt-get install ${missing[*]}"
}

check_basics() {
  command -v cargo >/dev/null || fail "cargo is missing" "the installer at https://rustup.rs"
  command -v npm >/dev/null || fail "npm is missing" "apt-get install npm"
  command -v cc >/dev/null || fail "a C compiler is missing" "apt-get install gcc"
}

# The standard library for wasm: from rustup, or built from Debian's sources where rustup cannot fetch it
# or TERRACE_WASM=debian asks for that.
wasm_target() {
  [ -e "$WASM_TOOLCHAIN/ready" ] && { link_toolchain; return 0; }
  if [ "${TERRACE_WASM:-}" != debian ]; then
    [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown" ] && return 0
    command -v rustup >/dev/null || fail 'rustup is missing' 'the installer at https://rustup.rs'
    if timeout 60 rustup target add wasm32-unknown-unknown >/dev/null 2>&1; then
      echo 'setup: wasm target from rustup'
      return 0
    fi
    echo 'setup: rustup cannot fetch the wasm target'
  fi
  echo "setup: building the wasm target from Debian's Rust sources"
  apt_packages rustc-web cargo-web rust-web-src rust-web-llvm rust-web-clippy lld-22
  step 'standard library for wasm' build_wasm_std ||
    fail 'the standard library for wasm did not build' 'rustup target add wasm32-unknown-unknown, with a network'
  link_toolchain
}

link_toolchain() {
  rustup toolchain list | grep -q "^terrace-wasm" &&
    [ "$(readlink -f "$(rustup +terrace-wasm which rustc 2>/dev/null)")" = "$(readlink -f "$WASM_TOOLCHAIN/bin/rustc")" ] && return 0
  rustup toolchain link terrace-wasm "$WASM_TOOLCHAIN"
}

build_wasm_std() {
  local work=$TERRACE_CACHE/build-std.$$ target=wasm32-unknown-unknown
  rm -rf "$TERRACE_CACHE"/build-std.* # and what an interrupted run left
  mkdir -p "$work/empty/src" "$work/toolchain/bin" "$work/toolchain/lib/rustlib/$target/lib"
  printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n' >"$work/empty/Cargo.toml"
  : >"$work/empty/src/lib.rs"
  (
    cd "$work/empty"
    env -u RUSTUP_TOOLCHAIN RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes CARGO_TARGET_DIR="$work/target" \
      /usr/bin/cargo build --release --target "$target" -Zbuild-std=std,panic_abort,panic_unwind,test
  )
  rm -f "$work/target/$target/release/deps/"libempty-*
  cp "$work/target/$target/release/deps/"*.rlib "$work/toolchain/lib/rustlib/$target/lib/"
  # Debian's programs look for their libraries beside their own; these are told to look here.
  local program entry
  for program in rustc rustdoc; do
    printf '#!/bin/sh\nexec /usr/bin/%s --sysroot "%s" "$@"\n' "$program" "$WASM_TOOLCHAIN" >"$work/toolchain/bin/$program"
  done
  printf '#!/bin/sh\nSYSROOT="%s" exec /usr/bin/clippy-driver "$@"\n' "$WASM_TOOLCHAIN" >"$work/toolchain/bin/clippy-driver"
  chmod +x "$work/toolchain/bin/rustc" "$work/toolchain/bin/rustdoc" "$work/toolchain/bin/clippy-driver"
  ln -s /usr/bin/cargo "$work/toolchain/bin/"
  cp /usr/bin/cargo-clippy "$work/toolchain/bin/" # it takes the clippy-driver that lies beside it
  for entry in /usr/lib/rustlib/*; do
    ln -s "$entry" "$work/toolchain/lib/rustlib/"
  done
  touch "$work/toolchain/ready"
  rm -rf "$WASM_TOOLCHAIN"
  mkdir -p "$(dirname "$WASM_TOOLCHAIN")"
  mv "$work/toolchain" "$WASM_TOOLCHAIN"
  rm -rf "$work"
}

# A cargo-installed tool, by version: `cargo_tool CRATE VERSION`. They run for seconds and compile for minutes, so they
# are optimised a little only.
cargo_tool() {
  local root=$TERRACE_CACHE/$1-$2
  [ -x "$root/ready" ] && return 0
  install_tool() {
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
      cargo install --quiet --locked --root "$root.partial" --target-dir "$TERRACE_CACHE/tool-builds" "$1@$2" && rm -rf "$root" && touch "$root.partial/ready" && chmod +x "$root.partial/ready" && mv "$root.partial" "$root"
  }
  step "$1 $2" install_tool "$1" "$2" || fail "$1 $2 did not install" "cargo install --locked $1@$2, with a network"
}

# Packages of package-lock.json, again only when it has changed. They bring the Node.js that wrangler needs.
node_packages() {
  local wanted
  wanted=$(sha256sum package-lock.json | cut -c1-64)
  [ "$(cat node_modules/.terrace-lock 2>/dev/null)" = "$wanted" ] && return 0
  step 'packages of package-lock.json' npm ci --no-fund --no-audit --prefer-offline --cache "$TERRACE_CACHE/npm" ||
    fail 'npm ci failed' 'npm ci, with a network'
  node_modules/.bin/node --version | grep -q '^v22\.' ||
    fail 'npm ci did not bring Node.js 22: it may not run install scripts' 'npm config delete ignore-scripts, then this again'
  printf '%s' "$wanted" >node_modules/.terrace-lock
}

# The caches that conformance is measured beside, one by one: what there is no package of is left out. None of them is
# started as a service: the policy that forbids it is there for as long as they are installed.
peer_packages() {
  local policy=/usr/sbin/policy-rc.d ours='' package
  [ $# != 0 ] || set -- nginx-light varnish squid apache2-bin trafficserver
  if ! [ -e "$policy" ]; then
    ours=$policy
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  for package in "$@"; do
    (apt_packages "$package") || echo "setup: without $package"
  done
  [ -z "$ours" ] || { as_root rm -f "$ours" && trap - EXIT; }
}

case ${1:-base} in
  base | test) ;;
  peers)
    peer_packages
    exit 0
    ;;
  bench)
    peer_packages nginx-light varnish
    apt_packages wrk
    exit 0
    ;;
  *) fail "unknown argument: $1" "scripts/setup.sh base, scripts/setup.sh test, scripts/setup.sh peers, or scripts/setup.sh bench" ;;
esac
check_basics
mkdir -p "$TERRACE_CACHE"
if [ "${1:-base}" = test ]; then
  command -v redis-server >/dev/null || apt_packages redis-server
  command -v chromium >/dev/null || command -v google-chrome >/dev/null || apt_packages chromium
fi
wasm_target
cargo_tool wasm-bindgen-cli "$WASM_BINDGEN_VERSION"
cargo_tool worker-build "$WORKER_BUILD_VERSION"
rm -rf "$TERRACE_CACHE/tool-builds"
node_packages
