# make setup | demo [ARGS=--check] | test [ARGS=...] | lint | bench | messages | clean

VENV := .venv
BIN := $(VENV)/bin
MANAGE := $(BIN)/python manage.py
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The demonstration has a place to itself.
DEMO_STATE := $(or $(DRC_STATE),$(CURDIR)/var/demo)

.PHONY: help setup demo test lint bench messages clean packages test-packages
.DELETE_ON_ERROR:

help:
	@echo "make setup      install everything that running needs; starts nothing"
	@echo "make demo       sample systems, backed up and proven, in the panel (ARGS=--check: try it and stop)"
	@echo "make test       format, lint, types, contracts, and all tests (ARGS='tests/live -k demo': some tests)"
	@echo "make lint       the same without the tests"
	@echo "make bench      measure beside the tools that one would take instead"
	@echo "make messages   bring the catalogues up to date"
	@echo "make clean      remove what was built here, and the demonstration's data"

setup: packages $(VENV)/.installed

packages:
	@deploy/install-system-packages run

test-packages:
	@deploy/install-system-packages test

$(BIN)/python:
	@python=$$(deploy/choose-python) && $$python -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | packages $(BIN)/python
	@echo "Installing Python packages"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | test-packages $(BIN)/python
	@echo "Installing Python packages"
	@$(PIP) install --editable ".[dev]"
	@touch $(VENV)/.installed $@

demo: setup
	@DRC_STATE="$(DEMO_STATE)" $(MANAGE) demo $(ARGS)

# What the tests prove is their own, on every machine (docs/security.md, "What a proof can reach").
test: export DRC_PROVE_AS_SELF := True

# Everything that the checks write goes to a directory that is removed.
define with_state
@state=$$(mktemp -d) && trap 'rm -rf "$$state"' EXIT && export DRC_STATE="$$state" && set -e;
endef

lint: test-packages $(VENV)/.installed-dev
	$(with_state) \
	$(BIN)/ruff format --check --quiet .; \
	$(BIN)/ruff check --quiet .; \
	$(BIN)/mypy --no-error-summary; \
	$(BIN)/lint-imports --no-cache >"$$state/contracts" || { cat "$$state/contracts"; exit 1; }; \
	$(MANAGE) makemigrations --check --dry-run; \
	$(BIN)/python deploy/check-catalogue

test: lint
	$(with_state) $(BIN)/pytest $(ARGS)

bench: test-packages $(VENV)/.installed-dev
	$(with_state) $(BIN)/python -m tests.bench $(ARGS)

messages: $(VENV)/.installed-dev
	$(with_state) $(BIN)/python deploy/check-catalogue --update

clean:
	@if [ -L "$(DEMO_STATE)/demo/servers" ]; then rm -rf "$$(readlink "$(DEMO_STATE)/demo/servers")"; fi
	@rm -rf "$(CURDIR)/var/demo" $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
