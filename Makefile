# What a person does with kew's source. Each command sets up what it needs and says what it does:
#
#   make demo          push every file of a folder through a queue (FOLDER=..., default: Python's own)
#   make test          all tests; make unit, make contracts, make integration, make simulation: one suite
#   make test-all-pythons  all tests on each Python that is here (PYTHONS=...)
#   make check         what CI runs: make static, then all tests with coverage
#   make static        format, lint, types and import contracts, without any test
#   make soak          the tests that kill, cut and feed nonsense, at ten times the length
#   make simulate-long 10,000 seeds of the simulation and 1,000 lossy ones, with the tables of docs/simulation.md
#   make format        format the code and mend what the linter can mend
#   make bench         measure kew beside its peers (PEER=arq FIGURE=drain: only these; SAVE=1: into docs)
#   make bench-self    measure two commits of kew, turn by turn: A=<commit> B=<commit>
#   make profile       where the time of a task goes in kew's process (FIGURE=drain: only this; SAVE=1: into docs)
#   make mutation      break the domain's rules one by one, and count what its unit tests notice
#   make clean         remove what the tools left; the environment in .venv stays
#
# The tests find a Redis by themselves: see tests/support/redis_source.py.

VENV ?= .venv
# The first Python that is new enough and can make environments.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && { echo $$python; break; }; done)
# For `make test-all-pythons`: names on the PATH, or paths.
PYTHONS ?= python3.11 python3.12 python3.13

# How long a suite may take, in seconds on two cores. Longer means that something is wrong.
UNIT_SECONDS ?= 120
CONTRACTS_SECONDS ?= 300
INTEGRATION_SECONDS ?= 900
SIMULATION_SECONDS ?= 900
ALL_SECONDS ?= 2400
SOAK_SECONDS ?= 7200

# Tests run in this many processes, each with servers of its own.
WORKERS ?= 2

BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
COVERAGE_MINIMUM := 90
MUTANTS_MINIMUM := 95

.DEFAULT_GOAL := help
.PHONY: help demo test unit contracts integration simulation simulate-long soak check static format clean \
	bench bench-self profile mutation test-all-pythons

help:
	@sed -n '/^#   make/s/^#  //p' Makefile

demo: $(READY)
	@echo "== Running the demo"
	@$(BIN)/kew demo $(FOLDER)

test: $(READY)
	@echo "== Running all tests"
	@$(PYTEST) --session-timeout=$(ALL_SECONDS) tests

unit: $(READY)
	@echo "== Running the unit tests (no Redis needed)"
	@$(PYTEST) --session-timeout=$(UNIT_SECONDS) tests/unit

contracts: $(READY)
	@echo "== Running the suites that every store passes"
	@$(PYTEST) --session-timeout=$(CONTRACTS_SECONDS) tests/contracts

integration: $(READY)
	@echo "== Running the tests against a real Redis"
	@$(PYTEST) --session-timeout=$(INTEGRATION_SECONDS) tests/integration

simulation: $(READY)
	@echo "== Running the simulation tests (no Redis needed)"
	@$(PYTEST) --session-timeout=$(SIMULATION_SECONDS) tests/simulation

simulate-long: $(READY)
	@echo "== Simulating 10,000 seeds, and 1,000 with a store that forgets its last writes"
	@$(BIN)/kew simulate --seeds 10000 --jobs $(WORKERS)
	@$(BIN)/kew simulate --seeds 1000 --lossy --jobs $(WORKERS)

soak: $(READY)
	@echo "== Running the long tests"
	@KEW_KILLS=200 KEW_FAULTS=6000 KEW_INPUTS=7000 $(PYTEST) --session-timeout=$(SOAK_SECONDS) \
		--timeout=$(SOAK_SECONDS) tests/integration/test_processes.py \
		tests/integration/test_outages.py tests/integration/test_hostile_input.py

# The tests come last, and a kept coverage gate prints nothing, so that a good run ends with
# pytest's own summary.
check: static
	@echo "== Running all tests with coverage"
	@$(PYTEST) --session-timeout=$(ALL_SECONDS) --cov --cov-fail-under=$(COVERAGE_MINIMUM) tests
	@$(BIN)/coverage report --include='kew/domain/*' --fail-under=100 >$(VENV)/domain-coverage.txt \
		|| { cat $(VENV)/domain-coverage.txt; echo "kew/domain must be covered completely"; exit 1; }

static: $(READY)
	@echo "== Checking the format"
	@$(BIN)/ruff format --check .
	@echo "== Linting"
	@$(BIN)/ruff check .
	@echo "== Checking the types"
	@$(BIN)/mypy
	@echo "== Checking the import contracts"
	@$(BIN)/lint-imports --no-logo

format: $(READY)
	@echo "== Formatting, and mending what the linter can mend"
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

# The peers and their environments live in .bench; `rm -rf .bench` removes them. BENCH_PYTHON: the Python of all.
bench: $(READY)
	@$(BIN)/python -m benchmarks $(if $(PEER),--peer '$(PEER)') $(if $(FIGURE),--figure '$(FIGURE)') \
		$(if $(LOOP),--loop $(LOOP)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SCALE),--scale $(SCALE)) \
		$(if $(SAVE),--save) $(if $(REPORT),--report)

bench-self: $(READY)
	@$(BIN)/python -m benchmarks.compare '$(A)' '$(B)' $(if $(FIGURE),--figure '$(FIGURE)') \
		$(if $(LOOP),--loop $(LOOP)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SCALE),--scale $(SCALE))

# Where the time of kew's process goes, as py-spy sees it (which may need the right to look into other processes).
profile: $(READY)
	@$(BIN)/python -m benchmarks.profile $(if $(FIGURE),--figure '$(FIGURE)') $(if $(SAVE),--save)

# One process, and politely: it takes about ten minutes. docs/mutation.md explains what survives.
mutation: $(READY)
	@echo "== Breaking the domain's rules one by one"
	@rm -rf mutants
	@CI=true nice -n 10 $(BIN)/mutmut run --max-children 1
	@$(BIN)/mutmut results
	@$(BIN)/mutmut export-cicd-stats
	@$(BIN)/python -c 'import json; s = json.load(open("mutants/mutmut-cicd-stats.json")); \
		share = 100 * s["killed"] / s["total"]; \
		print("== %d of %d mutants killed: %.1f %%" % (s["killed"], s["total"], share)); \
		raise SystemExit(share < $(MUTANTS_MINIMUM))'

clean:
	@echo "== Removing what the tools left"
	@rm -rf build dist mutants htmlcov .coverage .coverage.* .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

test-all-pythons:
	@tested=; for python in $(PYTHONS); do \
		name=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) \
			|| { echo "== $$python is not on this machine, left out"; continue; }; \
		echo "== Python $$name"; \
		$(MAKE) --no-print-directory test VENV=.venv-$$name PYTHON=$$python || exit 1; \
		tested="$$tested $$name"; \
	done; \
	test -n "$$tested" || { echo "None of these Pythons was found: $(PYTHONS)"; exit 1; }; \
	echo "== All tests passed on Python$$tested"

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || test -n "$(PYTHON)" || { \
		echo "kew needs Python 3.11 or later with its venv module (Debian: python3-venv)."; exit 1; }
	@test -x $(BIN)/python || { echo "== Making an environment in $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "== Installing kew and its tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check \
		--editable '.[all,dev]' --constraint constraints.txt
	@touch $(READY)
