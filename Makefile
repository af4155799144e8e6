# Every target makes its own environment from the lock on a bare machine with Python 3.11.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
MODEL ?= mgdspr
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
OUT ?= out
# A file's tests stay together, for what they share; the order of files is that of tests/conftest.py.
TESTS := tests --ignore=tests/distributed -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-distributed coverage lint docs lock clean

demo: $(INSTALLED)
	$(BIN)/python -m serving.demo --model $(MODEL) --output $(OUT)

test: $(INSTALLED)
	$(BIN)/python -m pytest $(TESTS)

test-distributed: $(INSTALLED)
	$(BIN)/python -m pytest tests/distributed -rs

# Branches of the three packages that the tests pass, child processes included.
coverage: export COVERAGE_FILE = $(CURDIR)/.coverage
coverage: $(INSTALLED)
	rm -f .coverage .coverage.*
	$(BIN)/python -m coverage run -m pytest $(TESTS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --fail-under=95

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(INSTALLED): requirements.lock setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "error: Python 3.11 is needed; name it with make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# The documentation as a site, in out/site; a link that leads nowhere fails it.
DOCS := .venv-docs
docs: $(DOCS)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --quiet --site-dir $(OUT)/site

$(DOCS)/.installed: docs/requirements.lock
	test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r docs/requirements.lock
	touch $@

# Rewrites the locks from setup.py's ranges: for development, for the images with and without CUDA, and of an extra's
# packages alone for the server's image and for the documentation.
UV_LOCK = $(PYTHON) -m uv pip compile --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
	--no-header --no-annotate --generate-hashes
EXTRA = import runpy, setuptools, sys; \
	setuptools.setup = lambda **given: print(*given["extras_require"][sys.argv[1]], sep="\n"); runpy.run_path("setup.py")
lock:
	$(PYTHON) -m pip install --quiet uv setuptools
	$(UV_LOCK) setup.py --extra dev --output-file requirements.lock
	$(UV_LOCK) setup.py --extra gcp --constraint requirements.lock --output-file deploy/requirements.lock
	$(UV_LOCK) setup.py --extra gcp --extra gpu --constraint deploy/requirements.lock --output-file deploy/requirements-gpu.lock
	$(PYTHON) -c '$(EXTRA)' serving | $(UV_LOCK) - --constraint deploy/requirements.lock --output-file deploy/serving/requirements.lock
	$(PYTHON) -c '$(EXTRA)' docs | $(UV_LOCK) - --constraint requirements.lock --output-file docs/requirements.lock

clean:
	rm -rf $(VENV) $(DOCS) $(OUT) build dist *.egg-info
