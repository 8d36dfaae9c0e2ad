# The commands for working on kew. Each sets up what it needs and prints what it does:
#
#   make demo          run every file of a folder through a queue (FOLDER=..., default: Python's library)
#   make test          all tests; make unit, make contracts, make integration, make simulation: one suite
#   make test-all-pythons  all tests on each installed Python (PYTHONS=...)
#   make check         what CI runs: make static, then all tests with coverage
#   make static        check format, lint, types and import contracts, without tests
#   make soak          the tests with kills, outages and hostile input, ten times as long
#   make simulate-long 10,000 seeds of the simulation and 1,000 lossy ones, with the tables of docs/simulation.md
#   make simulate-narrow-lossy  each narrow workload of the simulation, with a store that loses its last writes
#   make docs          build the documentation site in ./site; a broken link or anchor fails it
#   make reference     write docs/api.md from the code
#   make diagrams      draw the diagrams of the pages for the site, with MERMAID=path/to/mermaid.min.js
#   make format        format the code and apply the linter's fixes
#   make bench         compare kew with other libraries (PEER=arq FIGURE=drain: only these; SAVE=1: write docs)
#   make bench-self    compare two commits of kew, in turns: A=<commit> B=<commit>
#   make instructions  count what redis-server executes for a task, with callgrind (SAVE=1: write the table)
#   make profile       where kew's process spends a task's time (FIGURE=drain: only this; SAVE=1: write docs)
#   make mutation      break the domain's rules one by one, and count the mutants that its unit tests find
#   make clean         remove the files that the tools wrote, except for the environment in .venv
#
# The tests find a Redis on their own; tests/support/redis_source.py says how.

VENV ?= .venv
# The first Python that is recent enough and can create environments.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && { echo $$python; break; }; done)
# For `make test-all-pythons`: names on the PATH, or paths.
PYTHONS ?= python3.11 python3.12 python3.13

# Time limits of the suites, in seconds on two cores. A suite that takes longer has a fault.
UNIT_SECONDS ?= 120
CONTRACTS_SECONDS ?= 300
INTEGRATION_SECONDS ?= 1800
SIMULATION_SECONDS ?= 1800
ALL_SECONDS ?= 5400
SOAK_SECONDS ?= 7200

# The number of test processes, for two cores: a third of a test's time is waiting for other processes and for leases.
# Each starts its own servers.
WORKERS ?= 3

# The number of processes of a simulation, which never waits.
JOBS ?= 2

BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_READY := $(VENV)/.demo-ready
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
COVERAGE_MINIMUM := 90
MUTANTS_MINIMUM := 95

.DEFAULT_GOAL := help
.PHONY: help demo test unit contracts integration simulation simulate-long simulate-narrow-lossy soak check static docs reference diagrams format clean \
	bench bench-self instructions profile mutation test-all-pythons

help:
	@sed -n '/^#   make/s/^#  //p' Makefile

demo: $(DEMO_READY)
	@echo "== Running the demo"
	@$(BIN)/kew demo $(FOLDER)

test: $(READY)
	@echo "== Running all tests"
	@$(PYTEST) --session-timeout=$(ALL_SECONDS) tests

unit: $(READY)
	@echo "== Running the unit tests (no Redis needed)"
	@$(PYTEST) --session-timeout=$(UNIT_SECONDS) tests/unit

contracts: $(READY)
	@echo "== Running the contract suites that every store passes"
	@$(PYTEST) --session-timeout=$(CONTRACTS_SECONDS) tests/contracts

integration: $(READY)
	@echo "== Running the tests against a real Redis"
	@$(PYTEST) --session-timeout=$(INTEGRATION_SECONDS) tests/integration

simulation: $(READY)
	@echo "== Running the simulation tests (no Redis needed)"
	@$(PYTEST) --session-timeout=$(SIMULATION_SECONDS) tests/simulation

simulate-long: $(READY)
	@echo "== Simulating 10,000 seeds, and 1,000 with a store that loses its last writes"
	@$(BIN)/kew simulate --seeds 10000 --jobs $(JOBS)
	@$(BIN)/kew simulate --seeds 1000 --lossy --jobs $(JOBS)

simulate-narrow-lossy: $(READY)
	@echo "== Simulating each narrow workload with a store that loses its last writes: 200 seeds, 600 of closures"
	@$(BIN)/kew simulate --narrow --lossy --jobs $(JOBS)

soak: $(READY)
	@echo "== Running the long tests"
	@KEW_CONTRACTS=all KEW_FAILOVERS=5,10 KEW_KILLS=200 KEW_FAULTS=6000 KEW_INPUTS=7000 KEW_VALUES=100000 $(PYTEST) --session-timeout=$(SOAK_SECONDS) \
		--timeout=$(SOAK_SECONDS) tests/integration/test_processes.py \
		tests/integration/test_outages.py tests/integration/test_hostile_input.py tests/contracts \
		tests/integration/test_sentinel_failovers.py tests/integration/test_cluster_failover.py \
		tests/unit/adapters/test_generated_values.py
	@$(BIN)/python -m tests.integration.sqlite_kills

# The tests come last, and the coverage check prints nothing if it passes, so that a good run ends
# with pytest's own summary.
check: static
	@if command -v valgrind >/dev/null; then \
		echo "== Counting the instructions of a task in Redis"; \
		$(MAKE) --no-print-directory instructions CHECK=1; \
	else \
		echo "== valgrind is not installed: the instructions of a task in Redis are not compared"; \
	fi
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

# mkdocs-material prints an advertisement without the variable.
docs: $(READY)
	@echo "== Building the documentation"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

reference: $(READY)
	@$(BIN)/python -m docs.site.api

# Mermaid is in the npm package of this name. The tests don't need the pictures.
diagrams: $(READY)
	@$(BIN)/python -m docs.site.diagrams '$(MERMAID)'

format: $(READY)
	@echo "== Formatting, and applying the linter's fixes"
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

# The libraries and their environments are in .bench; `rm -rf .bench` removes them. BENCH_PYTHON: their Python.
bench: $(READY)
	@$(BIN)/python -m benchmarks $(if $(PEER),--peer '$(PEER)') $(if $(FIGURE),--figure '$(FIGURE)') \
		$(if $(LOOP),--loop $(LOOP)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SCALE),--scale $(SCALE)) \
		$(if $(SAVE),--save) $(if $(REPORT),--report)

bench-self: $(READY)
	@$(BIN)/python -m benchmarks.compare '$(A)' '$(B)' $(if $(FIGURE),--figure '$(FIGURE)') \
		$(if $(LOOP),--loop $(LOOP)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SCALE),--scale $(SCALE))

# Needs valgrind. The figures don't depend on how busy the machine is; `make check` compares them with the table.
instructions: $(READY)
	@$(BIN)/python -m benchmarks.instructions $(WORKLOAD) $(if $(SAVE),--save) $(if $(CHECK),--check)

# A profile of kew's process by py-spy, which may need the right to trace other processes.
profile: $(READY)
	@$(BIN)/python -m benchmarks.profile $(if $(FIGURE),--figure '$(FIGURE)') $(if $(SAVE),--save)

# One process at low priority; it takes about ten minutes. docs/mutation.md explains the survivors.
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
	@echo "== Removing the tools' files"
	@rm -rf build dist site mutants htmlcov .coverage .coverage.* .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

test-all-pythons:
	@tested=; for python in $(PYTHONS); do \
		name=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) \
			|| { echo "== $$python is not installed, skipped"; continue; }; \
		echo "== Python $$name"; \
		$(MAKE) --no-print-directory test VENV=.venv-$$name PYTHON=$$python || exit 1; \
		tested="$$tested $$name"; \
	done; \
	test -n "$$tested" || { echo "None of these Pythons is installed: $(PYTHONS)"; exit 1; }; \
	echo "== All tests passed on Python$$tested"

INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
		echo "kew needs Python 3.11 or later with its venv module (Debian: python3-venv)."; exit 1; }
	@echo "== Creating an environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# The Python of an environment may be older than the folder: only its absence matters (|).
$(READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "== Installing kew and its tools into $(VENV)"
	@$(INSTALL) --editable '.[all,dev]'
	@touch $(READY) $(DEMO_READY)

# The demo needs the command line, and no development tool.
$(DEMO_READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "== Installing kew and its command line into $(VENV)"
	@$(INSTALL) --editable '.[cli]'
	@touch $(DEMO_READY)
