# What one types. Each target sets up what it needs (scripts/setup.sh) and says what it does.

SHELL := /bin/bash
ENV := . scripts/env.sh &&
STAGE := $(ENV) bash scripts/stage.sh
# One set of packages and features for all native builds, so that nothing is built twice.
CARGO_ALL := --workspace --all-features --locked
BACKEND := target/release/examples/shop
TERRACE := target/release/terrace

.PHONY: help setup setup-test demo start replay test test-wasm deploy-check lint bench conformance simulate fuzz torture

help:
	@echo 'make start         the demo: browser, edge, service, memory, Redis and database, until Ctrl-C'
	@echo 'make test          every test'
	@echo 'make replay        requests against the demo: TRACE=file.trace.xz, or a Zipf stream without one'
	@echo 'make bench         benchmarks, written to bench/results.md'
	@echo 'make conformance   the public HTTP cache tests, written to conformance/results.md; PEERS=1: other caches too'
	@echo 'make simulate      the ledger at the scale of a CDN, written to docs/scale.md: SEED=1 for other random numbers'
	@echo 'make fuzz          every parser under a fuzzer: SECONDS_EACH=60 for each, or only TARGET=name'
	@echo 'make torture       purges under faults: MINUTES=10 TOPOLOGY=standalone|sentinel|cluster SEED=n; BREAK=R1 breaks a rule'
	@echo 'make lint          format, clippy and documentation, as in CI'
	@echo 'make deploy-check  what wrangler would deploy, without deploying it'

setup:
	@bash scripts/setup.sh base

setup-test:
	@bash scripts/setup.sh test

demo: setup
	@$(ENV) bash scripts/build-edge.sh
	@$(ENV) cargo build --release --locked -p terrace-origin -p terrace-cli --all-features --example shop --bin terrace

start: demo
	@$(TERRACE) check terrace.toml
	@$(ENV) exec node scripts/start.mjs --backend $(BACKEND)

replay: demo
	@$(ENV) exec node scripts/start.mjs --backend $(BACKEND) --run $(TERRACE) replay $(if $(TRACE),--trace $(TRACE))

test: setup-test
	@$(STAGE) 'wasm tests' make -s test-wasm
	@$(STAGE) 'edge build' bash scripts/build-edge.sh
	@$(STAGE) 'deploy check' make -s deploy-check
	@$(STAGE) 'build' cargo build $(CARGO_ALL) --bins --examples
	@$(STAGE) 'tests' cargo test $(CARGO_ALL)
	@$(STAGE) 'torture' target/debug/terrace-torture --seconds 40 --seed 1
	@$(STAGE) 'conformance' env TERRACE_BIN=target/debug/terrace node conformance/run.mjs --check

test-wasm:
	@$(ENV) with_wasm cargo test --locked --target wasm32-unknown-unknown -p terrace-shared -p terrace-edge --lib

deploy-check: setup
	@$(ENV) wrangler deploy --dry-run --outdir target/deploy

lint: setup
	@$(STAGE) 'format' cargo fmt --all --check
	@$(STAGE) 'clippy' cargo clippy $(CARGO_ALL) --all-targets -- -D warnings
	@$(STAGE) 'clippy without Redis' cargo clippy -p terrace-origin --no-default-features --locked -- -D warnings
	@$(STAGE) 'clippy on wasm' bash -c '. scripts/env.sh && with_wasm cargo clippy --target wasm32-unknown-unknown -p terrace-shared -p terrace-edge --locked -- -D warnings'
	@$(STAGE) 'documentation' env RUSTDOCFLAGS='-D warnings' cargo doc --workspace --exclude e2e --no-deps --all-features --locked

bench: setup-test
	@bash scripts/setup.sh bench
	@$(ENV) bash scripts/build-edge.sh
	@$(ENV) cargo build --profile bench --locked -p terrace-origin -p terrace-cli --all-features --example bare --bin terrace
	@$(ENV) node bench/http/shield.mjs
	@$(ENV) node bench/http/edge.mjs
	@$(ENV) node bench/http/purge.mjs
	@$(ENV) cargo bench --locked -p terrace-shared --bench rules
	@$(ENV) cargo bench --locked -p terrace-origin --all-features --bench hit --bench ledger --bench memory --bench layer
	@$(ENV) node scripts/bench-report.mjs

conformance: setup
	$(if $(PEERS),@bash scripts/setup.sh peers)
	@$(ENV) cargo build --release --locked -p terrace-cli --all-features --bin terrace
	@$(ENV) node conformance/run.mjs $(if $(PEERS),--peers) $(if $(UPDATE),--update) $(if $(SUITE),--suite $(SUITE))

simulate:
	@$(ENV) cargo run --release --locked -p terrace-simulate -- --seed $(or $(SEED),1) --write docs/scale.md

torture: export MINUTES ?= 10
torture: export TOPOLOGY ?= standalone
torture: export SEED ?=
torture: export BREAK ?=
torture: export UPDATE ?=
torture: setup-test
	@bash scripts/torture.sh

fuzz: export SECONDS_EACH ?= 60
fuzz: export TARGET ?=
fuzz:
	@bash scripts/fuzz.sh
