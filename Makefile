# Every target sets up what it needs. Python >= 3.10, make and a package index are all it takes.
PYTHON ?= python3
VENV ?= .venv
AUDIT =
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help run test check format bench bench-peers chaos audit clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,ray]' --group dev
	@touch $(STAMP)

run: $(STAMP)  ## set up, then real CLAIR pairs from the built-in sandbox
	$(BIN)/clair generate

test: $(STAMP)  ## everything that must hold: style, types, tests, README, wheel
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --cov --cov-report=term:skip-covered

check: $(STAMP)  ## style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## rewrite the sources in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## measure; prints tables, fails on no figure
	$(BIN)/python -m tests.benchmarks

bench-peers: $(STAMP)  ## beside distilabel's CLAIR task and curator: Linux, 1.5 GB in .bench, a quarter of an hour
	$(BIN)/python -m tests.benchmarks.peers

chaos: $(STAMP)  ## the attacks and the fuzzing of the tests, in their long form
	CLAIR_CHAOS_ROUNDS=20 CLAIR_FUZZ_SECONDS=60 CLAIR_FUZZ_SEED=$$(date +%s) $(BIN)/python -m pytest tests/chaos tests/engines/batch tests/train/test_train_command.py --timeout 3600

# Advisories name public versions, so the local label of a wheel (torch's +cpu) is cut off: with it, torch would not be looked up.
audit: $(STAMP)  ## known vulnerabilities in what is installed; elsewhere than PyPI: AUDIT='--vulnerability-service osv --osv-url URL'
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet 'pip-audit>=2.10,<3'
	$(BIN)/python -m pip freeze --all --exclude-editable --exclude clair > $(VENV)-audit/installed.txt
	sed 's/\(==[^+]*\)+.*/\1/' $(VENV)-audit/installed.txt > $(VENV)-audit/audited.txt
	$(VENV)-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement $(VENV)-audit/audited.txt $(AUDIT)

clean:  ## remove what make made
	rm -rf $(VENV) $(VENV)-audit .bench .mypy_cache .pytest_cache .ruff_cache .coverage
