# One command equals CI: `make test` is all that .ci/run does.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

help:  ## show this
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## build .venv from the lock file

# Again only when what goes into it changed.
$(STAMP): requirements.lock pyproject.toml
	@python=$$(.ci/find-python) && echo "setup: $$($$python --version) at $$python" && \
	  if ! $(BIN)/python -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then \
	    rm -rf $(VENV) && $$python -m venv $(VENV); fi
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: setup  ## the main job on real purchases, with servers of its own
	@$(BIN)/segstream demo

# Three files at a time, each with servers of its own: the integration tests mostly wait. In order of names, so that those
# with servers come before the many short ones, and no long one is left for the end.
test: lint  ## lint, types, doctests, unit and integration tests: what CI runs
	$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

lint: setup  ## ruff, mypy, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## put the code into shape
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: setup  ## CPU per event of one worker, on Apache Kafka and Redis
	$(BIN)/pytest -m bench -s tests/bench

# One after the other, since each takes both cores; the first that finds something ends it.
faults: outages fuzz schedules soak  ## all of the next four (six hours)

# Three scenarios at a time: they mostly wait. Their results go into a table, which also says what failed.
LEDGER := build/faults.jsonl
outages: setup  ## kill workers, Kafka and Redis again and again (half an hour); prints the README's table
	@mkdir -p build && rm -f $(LEDGER)
	@SEGSTREAM_TEST_LEDGER=$(LEDGER) $(BIN)/pytest --numprocesses 3 -m "faults or long" \
	  --ignore tests/faults/test_soak.py tests/faults tests/integration || failed=1; \
	  $(BIN)/python -m tests.faults.table $(LEDGER) && exit $${failed:-0}

# Atheris is in the dependency group `fuzz`, for Linux only; where it is missing the script says so, and fails on Linux
# on x86-64, where it can be had.
FUZZ_SECONDS ?= 600
fuzz: setup  ## break definitions and conditions, guided by coverage (20 minutes; FUZZ_SECONDS=600 each)
	-$(BIN)/python -m pip install --quiet --only-binary :all: 'atheris>=3.0'
	mkdir -p build/fuzz
	cd build/fuzz && $(abspath $(BIN))/python $(CURDIR)/tests/fuzz/fuzz_texts.py definitions $(FUZZ_SECONDS)
	cd build/fuzz && $(abspath $(BIN))/python $(CURDIR)/tests/fuzz/fuzz_texts.py conditions $(FUZZ_SECONDS)

# Two files, half of the seeds each.
schedules: setup  ## two million simulated schedules of crashes, zombies and lost tails (two to three hours)
	SEGSTREAM_SIMULATION_SCHEDULES=$${SEGSTREAM_SIMULATION_SCHEDULES:-2000000} $(BIN)/pytest --timeout 0 \
	  --numprocesses 2 --dist loadfile tests/simulation/test_schedules_1.py tests/simulation/test_schedules_2.py

soak: setup  ## two hours at half the maximum rate: memory, file descriptors and keys level off
	$(BIN)/pytest -m long -s tests/faults/test_soak.py

properties: setup  ## the flow against brute force, 5,000 random definitions and histories (hours)
	SEGSTREAM_FLOW_EXAMPLES=$${SEGSTREAM_FLOW_EXAMPLES:-5000} $(BIN)/pytest --timeout 0 tests/unit/flow

# Universal: one file for Python 3.11 to 3.13 and every platform. Add ARGS=--upgrade for newer versions.
# What goes into the image is held to the same versions.
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate \
  --no-emit-index-url --custom-compile-command "make lock" --quiet
lock: setup  ## write requirements.lock from pyproject.toml, and the image's two
	$(LOCK) pyproject.toml --all-extras --group dev --output-file requirements.lock $(ARGS)
	$(LOCK) pyproject.toml --extra worker --constraint requirements.lock --output-file deploy/requirements-worker.lock $(ARGS)
	$(LOCK) --group build --constraint requirements.lock --output-file deploy/requirements-build.lock $(ARGS)

schemas: setup  ## write schemas/json and schemas/asyncapi.yaml from the models
	$(BIN)/python -m tests.schemas

# Strict: a package that could not be looked up is a failure, not "no known vulnerabilities".
audit: setup  ## known vulnerabilities of everything that is locked (asks the package index)
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --requirement requirements.lock

sbom: setup  ## write dist/segstream.cdx.json, the bill of materials (CycloneDX) of what the image installs
	$(BIN)/python -m tests.sbom dist/segstream.cdx.json

clean:  ## remove what the targets above made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup demo test lint format bench faults outages fuzz schedules soak properties lock schemas audit sbom clean
