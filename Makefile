# `make help` tells what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help up down check test bench-failover chaos docs clean

TESTBED := e2e/testbed
CACHE := $(or $(MESOSCLOUD_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mesoscloud)
# What the testbed made because the machine had none: kubectl, kind, docker.
export PATH := $(CACHE)/bin:$(PATH)
KUBECTL := kubectl --context kind-mesoscloud
SAMPLE := manifests/cluster.yaml

help: ## Show this help
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

up: ## A running cloud: kind cluster, operator and sample, raised as far as they are missing
	@$(TESTBED)/up operator
	$(KUBECTL) apply -f $(SAMPLE)
	echo "waiting for the cloud to be Ready …"
	$(KUBECTL) -n mesoscloud wait --for=condition=Ready --timeout=300s mesoscloud/cloud || {
		$(KUBECTL) get mesoscloud -A -o yaml
		$(KUBECTL) get pods -A
		exit 1
	}
	$(KUBECTL) get mesoscloud -A
	echo "Mesos      http://127.0.0.1:5050"
	echo "Marathon   http://127.0.0.1:8080"
	echo "ZooKeeper  127.0.0.1:2181"
	echo "all of it took $$SECONDS s"

down: ## Take it all down; nothing is left running
	@$(TESTBED)/down

check: ## Format, lints, unit and API server tests; no cluster
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace --exclude mesoscloud-e2e

test: ## Everything: what `check` does, and the end-to-end tests on a cluster raised meanwhile
	@$(TESTBED)/up operator & raising=$$!
	trap 'kill $$raising 2>/dev/null || true' EXIT
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace --no-run
	# Some tests are about milliseconds: they run when the builds are done.
	wait $$raising
	cargo test --workspace --exclude mesoscloud-e2e --no-fail-fast
	$(MAKE) --no-print-directory up
	# The same blows each time; `make chaos` draws others.
	CHAOS_SEED=$${CHAOS_SEED:-2} cargo test -p mesoscloud-e2e --no-fail-fast -- --test-threads=1

bench-failover: up ## How long nobody answers when a leader dies; about three quarters of an hour
	@cargo run --config $(TESTBED)/profile.toml --profile testbed -p mesoscloud-e2e --bin bench-failover

chaos: up ## Ten minutes of blows, drawn from a seed; CHAOS_SECONDS and CHAOS_SEED change that
	CHAOS_SECONDS=$${CHAOS_SECONDS:-600} cargo test -p mesoscloud-e2e --test chaos -- --nocapture

docs: ## Write anew what is generated from the types
	UPDATE_GENERATED=1 cargo test -p mesoscloud-crds --test generated

clean: down ## `down`, and forget what cargo and the testbed have made
	@cargo clean
	rm -rf "$(CACHE)"
