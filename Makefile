# Each target does all of its own set-up, into .venv, and is quick when nothing changed.
#
#   make lab       JupyterLab on the quickstart        make check     linters, types, layers, generated docs
#   make demo      the same notebook, in a terminal    make bench     figures against the peers
#   make test      every test whose needs are met      make test-min  the oldest dependencies we claim
#   make chaos     a long storm of kills (CHAOS_ARGS)
#   make clean     removes what these made

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
MIN_VENV ?= .venv-min
MIN_STAMP := $(MIN_VENV)/.installed
PIP_FLAGS := --disable-pip-version-check --quiet
# What touches the dependencies themselves: server, kernel, wire, engines.
MIN_TESTS := tests/jupyter_ext tests/contract/test_command_line.py $(wildcard tests/conformance) tests/kernel
QUICKSTART := notebooks/01_quickstart.ipynb
# JupyterLab refuses to run as root unless told; a container often has no other user.
ROOT_FLAG := $(if $(filter 0,$(shell id -u)),--allow-root)

# A test's own settings must not leak in from the shell that runs make.
unexport CELLMESH_DOORBELL CELLMESH_GRACE PYTHONPATH

.PHONY: lab demo test check bench chaos test-min setup clean

setup: $(STAMP)

lab: $(STAMP)
	$(BIN)/jupyter lab $(ROOT_FLAG) $(wildcard $(QUICKSTART)) $(LAB_ARGS)

demo: $(STAMP)
	$(BIN)/python tools/demo.py $(QUICKSTART)

test: $(STAMP)
	$(BIN)/python -m pytest $(TEST_ARGS)
	$(BIN)/python -m pytest --nbval-lax -p no:cacheprovider notebooks

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/diagram.py --check

chaos: $(STAMP)
	PYTHONPATH=tests:. $(BIN)/python -m chaos $(CHAOS_ARGS)

bench: $(BENCH_STAMP)
	$(BIN)/python -m bench $(BENCH_ARGS)

test-min: $(MIN_STAMP)
	$(MIN_VENV)/bin/python tools/minimum.py --installed
	$(MIN_VENV)/bin/python -m pytest -W default -m "not slow" $(MIN_TESTS) $(TEST_ARGS)

$(STAMP): pyproject.toml constraints/tests.txt jupyter_ext/config/cellmesh.json tools/setup.sh
	sh tools/setup.sh "$(PYTHON)" $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints/tests.txt -e '.[lab,test,check]'
	touch $@

$(BENCH_STAMP): $(STAMP)
	$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints/tests.txt -e '.[bench]'
	touch $@

$(MIN_STAMP): pyproject.toml constraints/minimum.txt constraints/tests.txt jupyter_ext/config/cellmesh.json tools/setup.sh
	sh tools/setup.sh "$(PYTHON)" $(MIN_VENV)
	$(MIN_VENV)/bin/python -m pip install $(PIP_FLAGS) -c constraints/minimum.txt -c constraints/tests.txt -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) $(MIN_VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
