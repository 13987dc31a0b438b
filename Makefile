# What people and machines run here. `make help` lists it. Needs Python 3.11 or newer with venv and pip.
.DEFAULT_GOAL := help
.PHONY: help run test check bench lock clean
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
NODE_DIR := tests/compat/node
NODE_STAMP := $(if $(wildcard $(NODE_DIR)/package-lock.json),$(NODE_DIR)/node_modules/.stamp)

help: ## lists the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16
	@echo '  PYTHON=/path/to/python3 picks the interpreter; ARGS="..." is handed to run, test and bench.'

run: $(VENV)/.project ## starts the service for development: no configuration needed
	@exec $(BIN)/roombell serve --dev $(ARGS)

test: $(VENV)/.project $(VENV)/.dev $(VENV)/.nginx $(VENV)/.pgbouncer $(NODE_STAMP) ## runs the tests
	@$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev ## formatting, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PYTHONPATH=src $(BIN)/lint-imports --no-logo

bench: $(VENV)/.project $(VENV)/.dev $(VENV)/.nginx $(VENV)/.wrk ## measures deliveries per second, end to end
	@exec $(BIN)/python -m bench $(ARGS)

# The files hold hashes and no address: whoever installs chooses where packages come from.
COMPILE := env -u PIP_FIND_LINKS -u UV_FIND_LINKS $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate
EXTRAS := --extra server --extra postgres --extra rooms
lock: $(VENV)/.dev ## pins the newest versions into requirements/*.txt (LOCK_ARGS=--upgrade)
	@$(COMPILE) $(LOCK_ARGS) pyproject.toml -o requirements/base.txt > /dev/null
	@$(COMPILE) $(LOCK_ARGS) $(EXTRAS) pyproject.toml requirements/build.in \
		-c requirements/base.txt -o requirements/server.txt > /dev/null
	@$(COMPILE) $(LOCK_ARGS) $(EXTRAS) pyproject.toml requirements/build.in requirements/dev.in \
		-c requirements/server.txt -o requirements/dev.txt > /dev/null

clean: ## removes everything that these targets made (never a database)
	@rm -rf $(VENV) $(NODE_DIR)/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp says that a step was done for the files it depends on.
$(VENV)/.made:
	@for python in $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14; do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then \
			"$$python" -m venv $(VENV) && touch $@ && exit 0; \
		fi; \
		if [ "$$python" = '$(PYTHON)' ]; then break; fi; \
	done; \
	echo 'Roombell needs Python 3.11 or newer with venv and pip (on Debian: apt-get install python3 python3-venv).' >&2; \
	echo 'If one is elsewhere, name it: make PYTHON=/path/to/python3' >&2; \
	exit 1

$(VENV)/.server: $(VENV)/.made requirements/server.txt
	@echo 'Installing what the service needs into $(VENV) ...' >&2
	@$(PIP_INSTALL) --require-hashes -r requirements/server.txt
	@touch $@

$(VENV)/.project: $(VENV)/.server pyproject.toml
	@$(PIP_INSTALL) --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.server requirements/dev.txt
	@echo 'Installing what the tests and checks need into $(VENV) ...' >&2
	@$(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

# nginx, wrk and PgBouncer are other people's programs that some tests and the benchmark run as peers. They are installed where
# this can be done without asking; elsewhere what needs them says so and is skipped.
APT_INSTALL = if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	echo 'Installing $(1) ...' >&2; \
	export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
	{ apt-get update -qq && apt-get install -qq -y --no-install-recommends $(1); } > /dev/null \
		|| echo '$(1) could not be installed; what needs it is skipped.' >&2; \
	else echo '$(1) is not here; what needs it is skipped.' >&2; fi

$(VENV)/.nginx: | $(VENV)/.made
	@command -v nginx > /dev/null || [ -x /usr/sbin/nginx ] || { $(call APT_INSTALL,nginx-light); }
	@touch $@

$(VENV)/.wrk: | $(VENV)/.made $(VENV)/.nginx
	@command -v wrk > /dev/null || { $(call APT_INSTALL,wrk); }
	@touch $@

$(VENV)/.pgbouncer: | $(VENV)/.made $(VENV)/.nginx
	@command -v pgbouncer > /dev/null || [ -x /usr/sbin/pgbouncer ] || { $(call APT_INSTALL,pgbouncer); }
	@touch $@

$(NODE_DIR)/node_modules/.stamp: $(NODE_DIR)/package-lock.json
	@if command -v npm > /dev/null; then \
		cd $(NODE_DIR) && npm ci --no-audit --no-fund --loglevel=error > /dev/null && touch node_modules/.stamp; \
	else echo 'npm is not here; the tests against the JavaScript SDK are skipped.' >&2; fi
