# The targets that people use are described by `make help`. What builds and installs is in scripts/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
# A test that boots machines needs minutes on a slow host; a hung one must still end.
TEST_TIMEOUT ?= 40m
TEST_PACKAGES ?= ./...

.PHONY: help
help: ## show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## compile build/vitrine
	@mkdir -p build
	CGO_ENABLED=0 $(GO) build -trimpath -o build/vitrine ./cmd/vitrine

.PHONY: demo
demo: ## install what is missing, then the whole walk with az and a real machine (DEMO_ARGS=--keep leaves it running)
	@scripts/install demo
	@$(MAKE) build guest
	build/vitrine demo --guest build/guest/tiny.qcow2 $(DEMO_ARGS)

.PHONY: test
test: ## install what is missing, then every test: az 2.74, QEMU, PostgreSQL, both guests
	@TEST_TIMEOUT=$(TEST_TIMEOUT) scripts/test $(TEST_PACKAGES)

.PHONY: unit
unit: ## the tests that need nothing but Go (they say what they left out)
	$(GO) test -timeout 10m $(TEST_PACKAGES)

.PHONY: guest
guest: ## build the tiny guest, build/guest/tiny.qcow2
	@scripts/install guest
	@scripts/guest-tiny

.PHONY: guest-debian
guest-debian: ## build the Debian 12 guest with cloud-init, build/guest/debian.qcow2
	@scripts/install guest-debian
	@scripts/guest-debian

.PHONY: az-root
az-root: ## build the root of az 2.74 (Debian 13) in the cache folder
	@scripts/install az-root
	@scripts/az-root

.PHONY: bench
bench: ## measure beside restic, casync, qemu-img, Azurite, … into bench/RESULTS.md, half an hour (ROW=reads,blob SIZE=256M ROUNDS=3: some rows, on less)
	@scripts/install bench
	@scripts/bench -row "$(ROW)" -rounds $(or $(ROUNDS),5) -size "$(SIZE)"

.PHONY: lint
lint: ## gofmt, go vet, golangci-lint
	@scripts/lint

.PHONY: clean
clean: ## remove build/ (what is in the cache folder stays)
	rm -rf build
