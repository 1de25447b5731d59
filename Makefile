# Every target says what it does behind `##`; `make help` prints that.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONPATH := dev
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Python environment
$(VENV)/.installed: requirements/dev.txt pyproject.toml
	@echo "Installing the Python environment into $(VENV) (about a minute) ..."
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed, this is %s; set PYTHON=..." % sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: venv
venv: $(VENV)/.installed ## Make the Python environment in .venv from the hashed pins

UV_COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate
.PHONY: lock
lock: venv ## Refresh requirements/*.txt from pyproject.toml (add UPGRADE=--upgrade for newer versions)
	$(UV_COMPILE) $(UPGRADE) pyproject.toml --extra operator --extra jobs --group dev -o requirements/dev.txt
	$(UV_COMPILE) pyproject.toml --extra operator -c requirements/dev.txt -o requirements/operator.txt
	$(UV_COMPILE) pyproject.toml --extra jobs -c requirements/dev.txt -o requirements/jobs.txt
	$(UV_COMPILE) --group build -c requirements/dev.txt -o requirements/build.txt

.PHONY: lint
lint: venv ## Check style, types and the architecture's import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: test-unit
test-unit: venv ## Unit tests: seconds, no services
	$(BIN)/pytest tests/unit
