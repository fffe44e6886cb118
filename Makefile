# README's commands. Everything is installed into .venv from the locked versions.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: demo test lint types generated generate lock bench soak clean

demo: $(VENV)/runtime.stamp
	$(BIN)/python -m exporter demo

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy

# Writes what comes from the declarations: docs/metrics.md, the configuration's schema.
generate: $(VENV)/dev.stamp
	$(BIN)/python -m tests.generate

generated: $(VENV)/dev.stamp
	$(BIN)/python -m tests.generate --check

bench: $(VENV)/dev.stamp
	$(BIN)/python -m tests.bench

# Minutes of faults, after which nothing may be left over: SOAK_ARGS="mixture --minutes 10".
soak: $(VENV)/dev.stamp
	$(BIN)/python -m tests.soak $(SOAK_ARGS)

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links
lock: $(VENV)/dev.stamp
	$(LOCK) pyproject.toml --output-file requirements/runtime.lock
	$(LOCK) pyproject.toml --group dev --output-file requirements/dev.lock
	$(LOCK) --group build --output-file requirements/build.lock --constraint requirements/dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime.stamp: requirements/runtime.lock | $(BIN)/python
	$(INSTALL) -r requirements/runtime.lock
	touch $@

$(VENV)/dev.stamp: requirements/dev.lock pyproject.toml | $(BIN)/python
	$(INSTALL) -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
