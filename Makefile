# Short names for go commands. Nothing here needs cgo, and `git describe` alone says which version is built.
export CGO_ENABLED := 0
export GOFLAGS := -buildvcs=false $(GOFLAGS)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: build plugin packages release deps unit test race test-engines demo bench live lint vuln fuzz clean

build: # static programs in bin/
	go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/ ./credhelper/cmd/... ./logplugin/cmd/...

plugin: # the managed plugin, for `docker plugin create`, in dist/plugin, and in dist/plugin-volumes with volumes; GOARCH=arm64 for the other architecture
	./packaging/plugin/build $(VERSION) && ./packaging/plugin/build $(VERSION) dist/plugin-volumes volumes

packages: # deb and rpm of both architectures, in dist/packages; ARCHES=amd64 for one alone
	./packaging/install-test-deps packages && ./packaging/packages/build $(VERSION)

release: # all that a release publishes, in dist/release: make release VERSION=0.1.0
	./packaging/install-test-deps release && ./packaging/release/build $(VERSION)

deps: # the real parts that the tests run against
	./packaging/install-test-deps

unit: # a first look, in under a minute: no root, no Docker
	./.ci/unit $(AFTER)

test: deps # everything, as root
	./.ci/test $(AFTER)

race: # the race detector, where goroutines share memory; it needs a C compiler
	./packaging/install-test-deps race && ./.ci/race

test-engines: deps # the tests of both programs against Docker 29, its CLI, buildx and docker compose, which are built first, once
	./packaging/install-test-deps engine
	SECRETREF_TEST_DOCKERD=$(CURDIR)/.cache/engines/29/dockerd go test -tags integration,engines -count=1 -p 1 -timeout 20m ./credhelper/integration ./logplugin/integration ./logplugin/parity ./logplugin/volume ./packaging/plugin

demo: # the whole story in two minutes, as root
	./packaging/install-test-deps demo && go run -trimpath ./packaging/demo

bench: deps # ratios against peers, in one run; the log driver's figures and charts go into packaging/docs/performance.md
	./packaging/install-test-deps bench && go run ./credhelper/bench && go run ./logplugin/bench -out packaging/docs

live: # a line, a refusal and a rotation at real services, for those who have accounts; the output names the variables
	go run ./logplugin/live

lint: # few linters, each with its reason in .golangci.yml, and dead code
	./packaging/install-test-deps lint && ./.ci/lint

vuln: # known vulnerabilities, where a database can be reached
	./packaging/install-test-deps vuln && ./.ci/vuln

fuzz: # every fuzz target for FUZZTIME (default 10s)
	./.ci/fuzz $(FUZZTIME)

clean:
	rm -rf bin dist
