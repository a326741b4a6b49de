# Two commands need nothing but Python and make:
#
#     make demo     the example shop on a local Flagsmith
#     make test     ruff, mypy, import-linter and the tests
#
# Both set up a virtual environment in .venv first. PYTHON picks the interpreter.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Tests start many processes, each of which would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-lowest test-only lint docs docs-links bench build release-check clean

help:
	@sed -n '3,4s/^# *//p' Makefile

$(READY): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[tests,docs]'
	@touch $@

demo: $(READY)
	@$(BIN)/python -m example_app

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/fawltydeps
	$(BIN)/lint-imports

test: lint test-only

# The tests without those that are marked as slow. These wait more than they work, too.
test-fast: $(READY)
	$(BIN)/python -m pytest --numprocesses 8 --dist loadfile -m 'not slow'

# The tests with the oldest dependencies that setup.cfg allows.
test-lowest:
	$(MAKE) test-only VENV=.venv-lowest PIP_CONSTRAINT=tests/lowest.txt

# The tests wait more than they work, so there are more of them at once than processors.
test-only: $(READY)
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile

docs: $(READY)
	$(BIN)/sphinx-build --fail-on-warning --keep-going docs docs/_build/html

# Follows the links of the documentation to other sites. It needs the network, so CI does not run it.
docs-links: $(READY)
	$(BIN)/sphinx-build -b linkcheck docs docs/_build/links

# What reading flags and changes cost, beside other libraries; docs/benchmarks.rst shows it.
bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m benchmarks.reading
	$(BIN)/python -m benchmarks.scale

# A wheel and an sdist, whose metadata and contents are checked.
build: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist

# All that is checked before a release: the same bytes twice, and the quickstart with the wheel.
release-check: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	$(BIN)/python .ci/release_check.py

clean:
	rm -rf $(VENV) build dist *.egg-info docs/_build .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
