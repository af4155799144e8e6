# Every target makes its own environment from the lock on a bare machine with Python 3.11.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
MODEL ?= mgdspr
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
OUT ?= out

.PHONY: demo test test-distributed lint lock clean

demo: $(INSTALLED)
	$(BIN)/python -m serving.demo --model $(MODEL) --output $(OUT)

test: $(INSTALLED)
	$(BIN)/python -m pytest tests --ignore=tests/distributed -n 2

test-distributed: $(INSTALLED)
	$(BIN)/python -m pytest tests/distributed

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(INSTALLED): requirements.lock setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "error: Python 3.11 is needed; name it with make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Rewrites the lock from setup.py's ranges.
lock:
	$(PYTHON) -m pip install --quiet uv
	$(PYTHON) -m uv pip compile setup.py --extra dev --python-version 3.11 --no-header --no-annotate --output-file requirements.lock

clean:
	rm -rf $(VENV) $(OUT) build dist *.egg-info
