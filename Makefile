# edge: make help

GO          ?= go
BIN         := bin/edge
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.7.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.4.0
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS     := -s -w -X main.version=$(VERSION)
FUZZTIME    ?= 5s
# Debian packages that the tests drive for real, and those that only the benchmark needs.
TEST_PKGS   := certbot python3-certbot-nginx python3-certbot-apache python3-certbot-dns-cloudflare python3-certbot-dns-rfc2136 \
               prometheus knot systemd curl ca-certificates nginx-light libnginx-mod-http-lua libnginx-mod-stream libnginx-mod-mail \
               apache2 haproxy openssl default-jre-headless e2fsprogs python3 \
               varnish hitch icecast2 postfix dovecot-core dovecot-imapd dovecot-pop3d redis-server postgresql mariadb-server \
               openssh-server openssh-client
BENCH_PKGS  := nginx-light haproxy caddy
export CGO_ENABLED ?= 0
export GOFLAGS ?= -buildvcs=false

.PHONY: help build test test-deps check bench bench-deps demo fuzz soak targets docs clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build bin/edge, a static binary
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/edge

test: test-deps ## run every test; installs the Debian packages it needs
	@[ -d "$${EDGE_SHARED:-../shared}/golden" ] || echo "not run, since there are no recorded files (CONTRIBUTING.md; go test -v names each):" \
		"acmeglue TestTLSSNI01Vectors; acmeglue/lineage TestConfAsCertbotWritesIt, TestReadmeAsCertbotWritesIt; internal/certbotcli TestRecordedRenewalFiles; internal/configobj TestGolden;" \
		"golden and corpus tests of installers/nginx, installers/nginx/conf, installers/apache, installers/apache/conf"
	$(GO) test -count=1 -timeout 10m ./...
	CGO_ENABLED=1 $(GO) test -race -count=1 -short -timeout 10m $(RACE_PKGS)

RACE_PKGS := . ./proxy/... ./internal/otlp ./internal/statuspage ./acmeglue ./acmeglue/authenticator ./acmeglue/steward ./metrics/... ./internal/admin/... ./internal/accesslog/... ./internal/runlog/... ./hooks/... ./internal/flock/... ./installers ./installers/delivery ./installers/api ./installers/target

test-deps:
	@deploy/deps $(TEST_PKGS)

check: ## formatting, vet, staticcheck, stale docs, known vulnerabilities
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt needed:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod verify >/dev/null
	$(GO) mod tidy -diff
	@deploy/vulncheck $(GOVULNCHECK)

bench: bench-deps ## CPU per request and per handshake beside nginx, HAProxy and Caddy (ten minutes)
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/edge
	$(GO) run ./deploy/bench -edge $(BIN)

bench-deps:
	@deploy/deps $(BENCH_PKGS)

demo: build ## see it work: a test CA, a backend, and edge in front (ONCE=1: exit when shown)
	$(GO) run ./deploy/demo -edge $(BIN) $(if $(ONCE),-once)

fuzz: ## run each fuzz target for FUZZTIME
	@deploy/fuzz $(FUZZTIME)

soak: ## long runs: a hundred reloads and twenty upgrades under load, all fault points, fuzzing
	EDGE_SOAK=1 $(GO) test -count=1 -timeout 30m -v -run 'TestReloadsAndUpgradesUnderLoad' ./cmd/edge
	EDGE_SOAK=1 EDGE_STRICT=1 $(GO) test -count=3 -timeout 60m ./proxy/... ./internal/...
	EDGE_SOAK=1 EDGE_STRICT=1 $(GO) test -count=1 -timeout 60m ./acmeglue/... ./installers/...
	EDGE_SYSTEMD=1 $(GO) test -count=1 -run UnderSystemd ./cmd/edge
	@deploy/fuzz 60s

targets: test-deps ## try every kind of target with every case, and print the table (EDGE_SOAK=1: killed at every step)
	@$(GO) run ./deploy/targets -write docs/targets/README.md

docs: ## write the generated pages of docs/ anew
	$(GO) test ./cmd/edge ./internal/config ./metrics ./proxy ./installers/targets -run 'Docs' -update

clean: ## remove what make built
	rm -rf bin dist
