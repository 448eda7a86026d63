# Needs Python >= 3.11 and make. Everything else is installed into .venv.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= python3
ifeq ($(origin PYTHON),file)
VENV := .venv
else
VENV := .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
endif
RUN := $(VENV)/bin/python

# Options of the demo, for example `make demo PORT=9000`; see `make demo DEMO_ARGS=--help`.
# Only variables on make's command line count, because PORT is often set in the environment.
DEMO_ARGS ?=
option = $(if $(filter command%,$(origin $(1))),$(2) $($(1)))
demo_options = $(call option,DOMAIN,--domain) $(call option,PORT,--portal-port) \
	$(call option,SITE_A_PORT,--site-a-port) $(call option,SITE_B_PORT,--site-b-port) \
	$(call option,REDIS_PORT,--redis-port) $(call option,DATA_DIR,--data-dir) $(call option,NAMESPACE,--namespace)

ARGS ?= help
PYTEST_ARGS ?=
BENCH_ARGS ?=
MATRIX ?= python3.11 python3.13

.PHONY: help
help: ## list the commands
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PYTHON=python3.13 selects another Python, with its own virtual environment."
	@echo "  Options of the demo: PORT= SITE_A_PORT= SITE_B_PORT= REDIS_PORT= DOMAIN= DATA_DIR= NAMESPACE="

.PHONY: demo
demo: .python ## start the portal, two sites and Valkey on this machine
	@$(PYTHON) demo/virtualenv.py $(VENV) requirements/demo.txt requirements/dev.txt
	@$(RUN) -m demo $(demo_options) $(DEMO_ARGS)

.PHONY: manage
manage: .python ## run a management command of the demo's portal (ARGS="sso_site list")
	@$(PYTHON) demo/virtualenv.py $(VENV) requirements/demo.txt requirements/dev.txt
	@$(RUN) -m demo.manage $(demo_options) $(DEMO_ARGS) -- $(ARGS)

.PHONY: test
test: .dev ## run all tests, or some (PYTEST_ARGS="-k cart")
	@$(RUN) -m tests $(PYTEST_ARGS)

.PHONY: matrix
matrix: ## run all tests with each Python in MATRIX
	@for python in $(MATRIX); do \
		echo "== $$python"; \
		$(MAKE) --no-print-directory test PYTHON=$$python || exit 1; \
	done

.PHONY: lint
lint: .dev ## check style (ruff), imports (import-linter) and types (mypy)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@PYTHONPATH=. $(VENV)/bin/lint-imports --no-logo --no-cache
	@$(RUN) -m mypy

.PHONY: format
format: .dev ## fix style automatically where possible
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

.PHONY: bench
bench: .dev ## compare the speed with stock Django
	@$(RUN) -m benchmarks $(BENCH_ARGS)

.PHONY: requirements
requirements: ## pin the newest versions that pyproject.toml allows (needs uv)
	@sh requirements/compile.sh

.PHONY: clean
clean: ## remove all generated files, the demo's data included
	rm -rf .venv .venv-* .demo .demo-* .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Steps that other targets share.
.PHONY: .python .dev
.python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "'$(PYTHON)' was not found: install Python 3.11 or newer, or set PYTHON=/path/to/python3." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is required, but '$(PYTHON)' is $$($(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null || echo unusable): set PYTHON=/path/to/python3 to a newer one." >&2; exit 1; }

.dev: .python
	@$(PYTHON) demo/virtualenv.py $(VENV) requirements/dev.txt
