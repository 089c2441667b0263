# Everything here needs Python 3.11 and pip alone. `make` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help quickstart test slow check lint types layers bench docs clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= $(firstword $(foreach p,python3.11 python3 python,$(shell $(p) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1 && echo $(p))))
MICROJOULE_DATA ?= ../shared/data

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

$(STAMP): pyproject.toml constraints.txt CMakeLists.txt src/native/packing.cpp
	@test -n "$(PYTHON)" || { echo "Python 3.11 was not found: install it, or name it with make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

quickstart: $(STAMP) ## quantize an embedded network, and write a report
	$(BIN)/microjoule quickstart

test: check ## lint, types, layers and the test suite, but for what takes longer
	$(BIN)/python -m pytest -n 2 -m 'not slow and not survey'

slow: $(STAMP) ## the tests that take longer: whole networks and searches, random networks, operators, damaged files
	$(BIN)/python -m pytest -n 2 -m 'slow or survey'

check: lint types layers ## lint, types and layers only

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

bench: $(STAMP) ## run every benchmark on the folder MICROJOULE_DATA
	$(BIN)/python -m benchmarks --all --data $(MICROJOULE_DATA) --out benchmarks/results --docs docs/benchmarks.md

docs: $(STAMP) ## build the documentation in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove what make made
	rm -rf $(VENV) site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
