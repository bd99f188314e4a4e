# One verb, one command. `make help` lists them.
#
#   PYTHON=python3.12      the interpreter that makes the environments (3.11 or later)
#   TORCH_INDEX=<url>      a package index to take torch from, for example one with CPU-only builds

PYTHON ?= python3
TORCH_INDEX ?=
TORCH := torch==2.13.0
EXTRAS := hf lora speed

BIN := .venv/bin
CORE := .venv-core/bin
READY := .venv/.ready
CORE_READY := .venv-core/.ready

TORCH_FROM := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
PIP_FLAGS := --disable-pip-version-check --no-input -q
export HF_HUB_OFFLINE = 1
export TOKENIZERS_PARALLELISM = false
export OMP_NUM_THREADS = 1

.DEFAULT_GOAL := help
.PHONY: help env env-core test test-extras check core demo docs bench bench-full bench-methods leaderboard figures kill clean distclean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(READY) ## make .venv: everything, pinned by constraints.txt

env-core: $(CORE_READY) ## make .venv-core: the core dependencies alone

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Solera needs Python 3.11 or later; say which: make PYTHON=python3.12 ...")'
	@echo "Making .venv (a few minutes and a few GB the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps $(TORCH) $(TORCH_FROM)
	@$(BIN)/python -m pip install $(PIP_FLAGS) -e '.[dev]' -c constraints.txt
	@touch $@

$(CORE_READY): pyproject.toml constraints.txt
	@echo "Making .venv-core (core dependencies and pytest) ..."
	@test -x $(CORE)/python || $(PYTHON) -m venv .venv-core
	@$(CORE)/python -m pip install $(PIP_FLAGS) --no-deps $(TORCH) $(TORCH_FROM)
	@$(CORE)/python -m pip install $(PIP_FLAGS) -e . pytest -c constraints.txt
	@touch $@

test: check core ## everything that must hold: linters, types, contracts, doctests, core-only, the suite
	@echo "tests"
	@$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(READY) ## linters, formatting, types, import contracts, doctests
	@echo "ruff" && $(BIN)/ruff check -q .
	@echo "ruff format" && $(BIN)/ruff format -q --check .
	@echo "mypy" && $(BIN)/mypy --no-error-summary
	@echo "import contracts" && $(BIN)/lint-imports --no-logo >.venv/contracts.txt || { cat .venv/contracts.txt; exit 1; }
	@echo "doctests" && $(BIN)/python -m pytest --doctest-modules src/solera

core: $(CORE_READY) ## with core dependencies only: a plain merge, and the line that each missing extra prints
	@echo "core only" && $(CORE)/python -m pytest tests/core_only

test-extras: ## each extra on its own, in an environment of its own: slow, for releases
	@for extra in $(EXTRAS); do \
	  echo "extra $$extra" && $(PYTHON) -m venv build/extra && \
	  build/extra/bin/python -m pip install $(PIP_FLAGS) --no-deps $(TORCH) $(TORCH_FROM) && \
	  build/extra/bin/python -m pip install $(PIP_FLAGS) -e ".[$$extra]" pytest hypothesis -c constraints.txt && \
	  build/extra/bin/python -m pytest tests/execute tests/plan && rm -rf build/extra || exit 1; \
	done

demo: $(READY) ## train four small experts here, merge them with several methods, compare all in one picture
	@$(BIN)/python examples/demo/demo.py

docs: $(READY) ## write the generated pages again (docs/methods, docs/parity.md, docs/testbeds.md)
	@$(BIN)/python -m solera.registry.generate
	@$(BIN)/python tools/goldens/parity_table.py --write docs/parity.md
	@$(BIN)/python benchmarks/testbeds_page.py

BENCH = $(BIN)/python benchmarks/merges.py $(if $(SINCE),--since $(SINCE)) $(if $(CALM),--calm $(CALM))

bench: $(READY) ## time merges against the floor, short form (minutes), and write docs/benchmarks.md
	@$(BENCH)
	@$(BIN)/python benchmarks/page.py

bench-full: $(READY) ## the whole matrix (hours; goes on where it was stopped), and docs/benchmarks.md
	@$(BENCH) --full
	@$(BIN)/python benchmarks/page.py

bench-methods: $(READY) ## time and memory of every method on one matrix (an hour or more; goes on), and its page
	@$(BIN)/python benchmarks/methods_all.py $(if $(SINCE),--since $(SINCE)) $(if $(CALM),--calm $(CALM))
	@$(BIN)/python benchmarks/methods_page.py

leaderboard: $(READY) ## write docs/leaderboard* and docs/claims.md again from benchmarks/results/leaderboard
	@$(BIN)/python -m solera.bench.pages benchmarks/results/leaderboard docs

figures: $(READY) ## draw the figures of docs/diagnose.md again, from the testbed vision-8 (built where it is missing)
	@$(BIN)/python benchmarks/diagnose.py

kill: $(READY) ## kill 200 merges with signal 9, resume each, compare with the undisturbed result
	@$(BIN)/python benchmarks/kill.py --json benchmarks/results/kill.json

clean: ## remove what tests and the demo wrote
	@rm -rf demo-out build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find src tests examples tools -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## and the environments
	@rm -rf .venv .venv-core
