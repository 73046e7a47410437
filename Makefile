# `make demo` and `make test` are the README's two commands; each makes the virtual environment that it needs.

PYTHON ?= $(shell for name in python3.12 python3.11 python3.10 python3; do \
	if "$$name" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null; \
	then echo "$$name"; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
# The encoder and the sample catalogue, a distribution of their own.
SAMPLE := distributions/product-match-sample
DECLARED := pyproject.toml $(SAMPLE)/pyproject.toml constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	--editable ./$(SAMPLE) --editable
# One process at a time imports BLAS in most tests; more threads only fight over the cores.
export OMP_NUM_THREADS ?= 2

.DEFAULT_GOAL := help
.PHONY: constraints-image help demo serve test test-serving test-production format lint types pytest wheels clean

help: ## What there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.embedded ## Start everything, load the sample catalogue, ask three questions, stop
	@$(BIN)/product-match demo

serve: $(VENV)/.embedded ## Start everything, load the sample catalogue, stay until Ctrl-C
	@$(BIN)/product-match serve --sample

test: $(VENV)/.dev format lint types pytest ## Formatting, lint, types and every test

test-serving: $(VENV)/.dev-serving ## The same without the builder's tests, and so without torch
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --package product_match --package product_match_client
	$(BIN)/python -m pytest --ignore tests/export

test-production: $(VENV)/.dev-serving ## What speaks to stores, on real ones: give PRODUCT_MATCH_TEST_QDRANT_URL and _MONGODB_URI
	@test -n "$$PRODUCT_MATCH_TEST_QDRANT_URL" && test -n "$$PRODUCT_MATCH_TEST_MONGODB_URI" || { echo "give \
	PRODUCT_MATCH_TEST_QDRANT_URL (host:port of gRPC; its key in PRODUCT_MATCH_TEST_QDRANT_API_KEY) and \
	PRODUCT_MATCH_TEST_MONGODB_URI"; exit 1; }
	$(BIN)/python -m pytest tests/production tests/unit/test_vectors_contract.py tests/unit/test_documents_store.py \
		tests/unit/test_documents_writing.py tests/unit/test_index_applier.py tests/unit/test_index_verification.py

format: $(VENV)/.dev
	$(BIN)/ruff format --check .

lint: $(VENV)/.dev
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

pytest: $(VENV)/.dev
	$(BIN)/python -m pytest

constraints-image: ## What the image installs, with digests, anew; needs `uv`
	@echo 'setuptools>=77,<86' | uv pip compile pyproject.toml - --extra serving --extra heic --extra tracing --generate-hashes \
		--python-version 3.12 --python-platform x86_64-manylinux_2_28 --no-header --no-annotate --quiet --output-file $@.new
	@{ sed -n 1p $@.txt; cat $@.new; } > $@.all && mv $@.all $@.txt && rm $@.new

wheels: $(VENV)/.dev-serving ## Both distributions, in dist/
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m build --outdir dist $(SAMPLE)

clean: ## Remove the environment and the state directory
	rm -rf $(VENV) .state build dist *.egg-info $(SAMPLE)/*.egg-info

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Product Match needs Python 3.10, 3.11 or 3.12 with venv; \
	install one (Debian: apt-get install python3 python3-venv) or give PYTHON=/path/to/python"; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV)

# Stamps: what is installed is installed again only when a pyproject.toml changes. Where torch comes from is pip's to say:
# PIP_EXTRA_INDEX_URL may name an index of CPU builds.
$(VENV)/.embedded: $(DECLARED) | $(VENV)/bin/python
	@echo "installing the embedded stack (about a minute)"
	@$(INSTALL) '.[embedded]'
	@touch $@

$(VENV)/.dev-serving: $(DECLARED) | $(VENV)/bin/python
	@echo "installing the embedded stack and the test tools (about two minutes)"
	@$(INSTALL) '.[dev-serving]'
	@touch $@ $(VENV)/.embedded

$(VENV)/.dev: $(DECLARED) | $(VENV)/bin/python
	@echo "installing the embedded stack, the builder and the test tools (a few minutes)"
	@$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/.embedded $(VENV)/.dev-serving
