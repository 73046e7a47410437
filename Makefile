# `make demo` and `make test` are the README's two commands; each makes the virtual environment that it needs.

PYTHON ?= $(shell for name in python3.12 python3.11 python3.10 python3; do \
	if "$$name" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null; \
	then echo "$$name"; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
# One process at a time imports BLAS in most tests; more threads only fight over the cores.
export OMP_NUM_THREADS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo serve test format lint types pytest clean

help: ## What there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.embedded ## Start everything, load the sample catalogue, ask three questions, stop
	@$(BIN)/product-match demo

serve: $(VENV)/.embedded ## Start everything, load the sample catalogue, stay until Ctrl-C
	@$(BIN)/product-match serve --sample

test: $(VENV)/.dev format lint types pytest ## Formatting, lint, types and every test

format: $(VENV)/.dev
	$(BIN)/ruff format --check .

lint: $(VENV)/.dev
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

pytest: $(VENV)/.dev
	$(BIN)/python -m pytest

clean: ## Remove the environment and the state directory
	rm -rf $(VENV) .state build *.egg-info

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Product Match needs Python 3.10, 3.11 or 3.12 with venv; \
	install one (Debian: apt-get install python3 python3-venv) or give PYTHON=/path/to/python"; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV)

# Stamps: what is installed is installed again only when pyproject.toml changes.
$(VENV)/.embedded: pyproject.toml | $(VENV)/bin/python
	@echo "installing the embedded stack (about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[embedded]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing the embedded stack, the builder and the test tools (a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.embedded
