# Everything here works in a fresh clone with Go and Python (with pip) alone, and
# writes nowhere but into the clone (.cache, bin) and Go's own caches.

SHELL         := bash
.SHELLFLAGS   := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS     += --no-print-directory

# Without a home directory Go has no place for its caches.
ifeq ($(strip $(HOME)),)
export HOME := $(CURDIR)/.cache/home
endif
# Building is most of the work, and memory is cheaper than garbage collection.
export GOGC ?= 400

CACHE         := $(CURDIR)/.cache
ENVOY         := $(CACHE)/envoy/envoy
GOLANGCI      := v2.15.0
GOLANGCI_DIR  := $(CACHE)/golangci-lint/$(GOLANGCI)
GOLANGCI_LINT := $(GOLANGCI_DIR)/golangci-lint

TOOLS         := $(CACHE)/tools

# What one run of the judge compares, and where its dice start (empty: somewhere new each time).
PAIRS    ?= 24000
SEED     ?=
# How many proved fixes are applied and asked of a real Envoy.
FIXES    ?= 60
FUZZTIME ?= 5s
# Files with policies, for adopt; a glob in quotes.
POLICIES ?=
# More flags for the end-to-end tests' go test, such as -run and -v.
E2EFLAGS ?=
# Half an hour, and the time that slow machines need for so many pairs.
TIMEOUT  = $(shell echo $$((1800 + $(PAIRS) / 50)))s
# -race needs a C compiler; without one the tests run all the same, and say so.
RACE     = $(shell command -v "$$(go env CC)" >/dev/null 2>&1 && echo -race)
VERSION  = $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# The nested modules: what they need must not weigh on those who build the plugin.
NESTED   = $(patsubst %/go.mod,%,$(wildcard test/*/go.mod test/*/*/go.mod hack/*/go.mod))
# What snapshot builds: all, or one GOOS/GOARCH.
PLATFORM ?= all
# More flags for bench, such as -only help and -runs.
BENCHFLAGS ?=
# More flags for the rehearsal's go test, such as -run and -v.
RELEASEFLAGS ?=

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/kubectl-asmjwt
	@CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X github.com/asmjwt/kubectl-asmjwt/pkg/cmd.version=$(VERSION)' -o bin/kubectl-asmjwt ./cmd/kubectl-asmjwt

.PHONY: check
check: gofmt lint vet unit ## everything that is quick: gofmt, lint, vet, unit tests

.PHONY: gofmt
gofmt: ## fail if a file is not formatted
	@files=$$(gofmt -l cmd hack internal pkg test); \
	if [ -n "$$files" ]; then printf 'not formatted (run: make fmt):\n%s\n' "$$files" >&2; exit 1; fi

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## format everything
	@$(GOLANGCI_LINT) fmt

.PHONY: lint
lint: $(GOLANGCI_LINT) ## run the pinned golangci-lint
	@GOLANGCI_LINT_CACHE=$(CACHE)/golangci-lint/cache $(GOLANGCI_LINT) run

$(GOLANGCI_LINT):
	@echo "lint: building golangci-lint $(GOLANGCI), about two minutes, once" >&2
	@GOBIN=$(GOLANGCI_DIR) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)

.PHONY: vet
vet: ## run go vet
	@go vet ./...

.PHONY: unit
unit: ## run the unit tests, goldens included
	@go test ./...

.PHONY: race
race: ## run the unit tests under the race detector
	@[ -n "$(RACE)" ] || echo "note: no C compiler here, so the tests run without the race detector" >&2
	@go test $(RACE) ./...

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (5s)
	@hack/fuzz.sh $(FUZZTIME)

.PHONY: envoy
envoy: ## install the pinned Envoy into .cache/envoy
	@hack/envoy.sh $(CACHE)/envoy

.PHONY: conformance
conformance: envoy ## hold the evaluator against Envoy: PAIRS=24000 SEED= FIXES=60
	@rm -f $(CACHE)/conformance/report.txt; cd test/conformance && rc=0; \
	ASMJWT_ENVOY=$(ENVOY) ASMJWT_PAIRS=$(PAIRS) ASMJWT_SEED=$(SEED) ASMJWT_FIXES=$(FIXES) go test -count=1 -timeout $(TIMEOUT) ./... || rc=$$?; \
	[ ! -f $(CACHE)/conformance/report.txt ] || cat $(CACHE)/conformance/report.txt; exit $$rc

.PHONY: adopt
adopt: envoy ## hold the evaluator against Envoy for AuthorizationPolicies of yours: POLICIES='DIR/*.yaml' SEED=
	@[ -n "$(POLICIES)" ] || { echo "error: name the files: make adopt POLICIES='DIR/*.yaml'" >&2; exit 2; }
	@cd test/conformance && ASMJWT_ENVOY=$(ENVOY) ASMJWT_SEED=$(SEED) ASMJWT_POLICIES='$(abspath $(POLICIES))' go test -count=1 -v -run TestPoliciesOfOthers .

.PHONY: test
test: ## everything that can be proved on one machine, with its own set-up
	@$(MAKE) -j2 --output-sync=target units-under-stress conformance # each alone leaves a processor idle half of the time

.PHONY: units-under-stress
units-under-stress:
	@$(MAKE) race
	@$(MAKE) fuzz

.PHONY: e2e
e2e: build envoy ## run the end-to-end tests against a real mesh: cold it builds one, about 15 minutes
	@hack/e2e.sh $(CACHE)/e2e
	@cd test/e2e && ASMJWT_ENVOY=$(ENVOY) ASMJWT_E2E_BIN=$(CACHE)/e2e/bin ASMJWT_E2E_ISTIO=$(CACHE)/e2e/istio \
		ASMJWT_PLUGIN=$(CURDIR)/bin/kubectl-asmjwt go test -count=1 -timeout 20m $(E2EFLAGS) ./...

$(TOOLS)/goreleaser: hack/tools/go.mod hack/tools/go.sum
	@echo "tools: building goreleaser, krew and cyclonedx-gomod, about two minutes, once" >&2
	@cd hack/tools && CGO_ENABLED=0 GOFLAGS= go build -trimpath -buildvcs=false -o $(TOOLS)/ tool && touch $@

.PHONY: snapshot
snapshot: $(TOOLS)/goreleaser ## build a release into dist, without publishing it: PLATFORM=all or GOOS/GOARCH
	@PATH=$(TOOLS):$$PATH hack/snapshot.sh $(PLATFORM)

.PHONY: krew
krew: ## write the release in dist into krew/asmjwt.yaml
	@go run ./internal/krew

.PHONY: rehearse
rehearse: $(TOOLS)/goreleaser ## rehearse a release of HEAD: two equal builds, krew, installation, completion in real shells
	@hack/e2e.sh $(CACHE)/e2e kubectl
	@hack/shells.sh
	@cd test/release && ASMJWT_TOOLS=$(TOOLS) ASMJWT_KUBECTL=$(CACHE)/e2e/bin/kubectl go test -count=1 -timeout 20m $(RELEASEFLAGS) ./...

.PHONY: bench-peers
bench-peers: ## build the programs that bench measures against: cold 15 minutes, once
	@hack/e2e.sh $(CACHE)/e2e
	@cd hack/kubectl && CGO_ENABLED=0 GOFLAGS= go build -trimpath -ldflags '-s -w' -o $(CACHE)/bench/kubectl .

.PHONY: bench
bench: build bench-peers ## measure against istioctl and kubectl in one run, as ratios; and the sizes
	@go run ./internal/bench -plugin bin/kubectl-asmjwt -peers $(CACHE)/e2e/bin -kubectl $(CACHE)/bench/kubectl $(BENCHFLAGS)

.PHONY: generate
generate: ## write the goldens and the generated parts of the documents anew
	@go test ./pkg/cmd ./pkg/render ./internal/assets -update

.PHONY: verify
verify: tidy-check ## fail if something generated is out of date
	@go test -count=1 ./pkg/cmd ./pkg/render ./internal/assets

.PHONY: tidy-check
tidy-check: ## fail if a go.mod is not tidy
	@for dir in . $(NESTED); do (cd "$$dir" && go mod tidy -diff) || { echo "error: $$dir/go.mod is not tidy" >&2; exit 1; }; done

.PHONY: clean
clean: ## remove what make has built and fetched
	@rm -rf bin dist .cache
