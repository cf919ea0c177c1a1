# Each target does all the set-up it needs, on a machine with nothing but Python 3.11 or newer.
# Variables: PYTHON (which Python makes the environment), VENV (where it is), CONFIG.

VENV ?= .venv
CONFIG ?= havok.toml
BIN := $(VENV)/bin
READY := $(VENV)/.ready-test
BENCH_READY := $(VENV)/.ready-bench
PACKAGES := havok engine loader compartments console
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: serve test check format bench setup clean
.DEFAULT_GOAL := serve

serve: $(READY)  ## run the node of havok.toml in the foreground; Ctrl-C drains it
	@exec $(BIN)/havok serve $(CONFIG)

test: $(READY)  ## run every test
	@exec $(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(BENCH_READY)  ## every benchmark at full size
	$(BIN)/python -m pytest bench --benchmark-enable --benchmark-only
	for name in http load start swap; do $(BIN)/python -m bench.$$name || exit; done

setup: $(READY)

$(READY): pyproject.toml scripts/make-venv
	@echo "havok: setting up $(VENV), once; a minute or so" >&2
	@PYTHON="$(PYTHON)" scripts/make-venv $(VENV)
	@$(PIP) install -e '.[test]'
	@touch $@

$(BENCH_READY): $(READY)
	@$(PIP) install -e '.[bench]'
	@touch $@

clean:  ## remove the environment, caches and builds; never a node's data
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find $(PACKAGES) bench tests -name __pycache__ -type d -prune -exec rm -rf {} +
