# Everything a contributor or CI runs. `make help` lists it.

BIN := node_modules/.bin
# Installed packages, as old as the last `npm ci`.
INSTALLED := node_modules/.package-lock.json

.DEFAULT_GOAL := help
.PHONY: help gen lint check build test bench chaos demo install uninstall clean tools

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(INSTALLED): package.json package-lock.json
	@test -L node_modules || { npm ci && touch $(INSTALLED); }

# Virtual machines need more: all tests, and the demo that asks for one.
test: MACHINES = vm
demo: MACHINES = $(if $(filter qemu,$(PROVIDER)),vm)

tools: ## Debian packages that tests and demo use, where this may install them
	@scripts/tools.sh $(MACHINES)

gen: $(INSTALLED) ## Regenerate gen/ from proto/
	scripts/gen.sh

lint: $(INSTALLED) ## Format and lint by Biome (writes)
	$(BIN)/biome check --write

check: $(INSTALLED) ## Contract, generated code, types, lint, import directions
	scripts/check.sh

build: $(INSTALLED) ## Build dist/ when a source is newer
	@node scripts/build.mjs --if-needed

test: $(INSTALLED) tools build ## Run all suites (SUITE=unit for one)
	@node scripts/test.mjs $(SUITE)

bench: $(INSTALLED) build ## Measure, each figure beside its floor (ONLY=name, QUICK=1)
	@ONLY=$(ONLY) QUICK=$(QUICK) ROUNDS=$(ROUNDS) PROFILE=$(PROFILE) node --import tsx bench/main.ts

chaos: $(INSTALLED) tools build ## Break everything for 12 minutes and judge what came of it (SEED=n, KIND=short)
	@WRITE=$(WRITE) node --import tsx test/chaos/main.ts
	@test "$(KIND)" = short || CUTS=all $(BIN)/mocha test/integration/rpc/cut-conversation.spec.ts

demo: $(INSTALLED) tools build ## See real tasks run (KEEP=1 leaves the hub running, PROVIDER=qemu takes a virtual machine)
	@KEEP=$(KEEP) PROVIDER=$(PROVIDER) demo/run.sh

install: $(INSTALLED) build ## Put vm-agent on PATH (PREFIX=/usr/local) and set up the home
	@PREFIX=$(PREFIX) scripts/install.sh

uninstall: ## Take back what install made; data stays
	@PREFIX=$(PREFIX) scripts/install.sh --uninstall

clean: ## Remove what can be made again, except node_modules
	rm -rf dist coverage .tmp proto/google node_modules/.cache
