# Needs Python 3.10, 3.11 or 3.12 (with venv), make and bash; all else is installed into .venv.
SHELL := bash
VENV := .venv
VENV_PYTHON := $(VENV)/bin/python
PIP_INSTALL := $(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check

# PYTHON=/path/to/python selects the Python for .venv.
PYTHON ?=
CANDIDATES := $(or $(PYTHON),python3 python3.12 python3.11 python3.10)
IN_RANGE := import ensurepip, sys, venv; assert (3, 10) <= sys.version_info < (3, 13)
GOOD_VENV := $(IN_RANGE) and sys.prefix != sys.base_prefix; import pip

# A stamp has the time of the last successful install; newer requirements make it stale.
RUNTIME := $(VENV)/installed-runtime
DEV := $(VENV)/installed-dev

.DEFAULT_GOAL := help
.PHONY: help install demo test docs lint format clean

help: ## print this list
	@echo "usage: make TARGET [ARGS='arguments of the demo or of pytest'] [PYTHON=python3.11]"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 12

install: $(DEV) ## make .venv if needed, install the project and development tools into it
	@echo "$(VENV) is ready"

demo: $(RUNTIME) ## train on a small built-in data set
	@$(VENV_PYTHON) dev/demo.py $(ARGS)

test: lint ## lint, then run the tests
	@OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

docs: $(DEV) ## build the documentation into build/docs
	@$(VENV_PYTHON) -m sphinx -q -W --keep-going docs build/docs
	@echo "open build/docs/index.html"

lint: $(DEV) ## check style, formatting and types
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .
	@$(VENV_PYTHON) -m mypy

format: $(DEV) ## fix style and formatting in place
	@$(VENV_PYTHON) -m ruff check --fix .
	@$(VENV_PYTHON) -m ruff format .

clean: ## remove caches and build files, keep .venv
	@rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(DEV): $(RUNTIME)
	@$(PIP_INSTALL) --editable '.[dev]'
	@touch $@

# An incomplete .venv, or one whose Python is gone, is made again.
$(RUNTIME): requirements.txt pyproject.toml $(VENV_PYTHON)
	@$(VENV_PYTHON) -c '$(GOOD_VENV)' 2>/dev/null || { \
	  IFS=$$'\n'; \
	  for python in $$(type -ap $(CANDIDATES)); do \
	    if "$$python" -c '$(IN_RANGE)' 2>/dev/null; then \
	      echo "making $(VENV) with $$python ($$("$$python" --version))"; \
	      exec "$$python" -m venv --clear $(VENV); \
	    fi; \
	  done; \
	  echo "No Python 3.10, 3.11 or 3.12 with venv and ensurepip among: $(CANDIDATES)." >&2; \
	  echo "Install one, or select one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	@echo "installing into $(VENV)"
	@$(PIP_INSTALL) --requirement requirements.txt --editable '.[pretrained]'
	@touch $@

# No recipe: if it is missing, the stamp is stale, and its recipe makes .venv.
$(VENV_PYTHON): ;
