# Everything a new machine needs is Python 3.11, venv, pip and make; each target sets up .venv itself.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test check install clients bench clean

demo: .venv/run.stamp  ## build the Messflix products from real film data and serve them
	$(BIN)/polyport demo $(DEMO)

# Each process that a test starts would compile what it imports, and each of the many small files that are written be
# waited for until a disk has it: so compiled modules are kept, and files are in memory where there is room for them.
test: export PYTHONDONTWRITEBYTECODE =
test: export TMPDIR := $(or $(shell df --output=avail,target -k /dev/shm 2>/dev/null | awk 'NR == 2 && $$1 > 4000000 {print $$2}'),$(TMPDIR),/tmp)
test: .venv/dev.stamp .clients/stamp  ## the whole test command
	$(BIN)/python -m pytest -n 2 $(PYTEST)

check: .venv/dev.stamp  ## formatting, lint, types, layers
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/dev.stamp  ## ratios against peers and the bare engine; takes a while
	$(BIN)/python -m benchmarks

clients: .clients/stamp  ## clients for the tests that cannot live in .venv: DuckDB 1.5.5 with its postgres extension

install: .venv/run.stamp  ## what a user needs, in .venv

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip uninstall --quiet --yes setuptools  # 10 MB that nothing needs

.venv/run.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --no-compile --editable .
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --no-compile --editable '.[dev]'
	@touch $@ .venv/run.stamp

.clients/stamp: Makefile | .venv/bin/python
	$(BIN)/pip install --quiet --no-compile --no-deps --upgrade --target .clients/duckdb-1.5 \
		duckdb==1.5.5 duckdb-extension-postgres-scanner==1.5.5
	@touch $@

clean:
	rm -rf .venv .clients .polyport examples/messflix/.polyport
