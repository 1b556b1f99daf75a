# Everything that is done with a checkout. Each target does the set-up it needs; once that
# has succeeded, none but `setup` after a change of the dependencies asks for a network.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Another place for the environment: make test VENV=/tmp/elsewhere
VENV := .venv
RUN := $(VENV)/bin/python -m
READY := $(VENV)/.ready

# The tested Python is asked first. Debian keeps ensurepip, which makes the environment's pip,
# in a package of its own (python3-venv), so a Python without it does not count.
PYTHONS := python3.11 python3 python3.12 python3.13 python3.14
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON = $(shell for python in $(PYTHONS); do \
	"$$python" -c '$(USABLE)' 2>/dev/null && { command -v "$$python"; break; }; done)

.PHONY: help demo test slow lint types notebooks check figures bench fix setup clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY)  ## Index the two corpora and ask each of them a question
	$(VENV)/bin/rag sync --corpus corpora/harbour-manual
	$(VENV)/bin/rag ask --corpus corpora/harbour-manual "On which VHF channel does one now call Ansgard Lock?"
	$(VENV)/bin/rag sync --corpus corpora/county-gazetteer
	$(VENV)/bin/rag ask --corpus corpora/county-gazetteer "现行的禁渔期从哪天到哪天？"

test: $(READY)  ## Run the tests
	$(RUN) pytest

slow: $(READY)  ## Run the tests that take longer than a few seconds each
	$(RUN) pytest -m slow

lint: $(READY)  ## Check format and style
	$(RUN) ruff format --check
	$(RUN) ruff check

types: $(READY)  ## Check types
	$(RUN) mypy

notebooks: $(READY)  ## Run the notebooks and compare their outputs with the committed ones
	$(RUN) notebooks.run

check: lint types test  ## Check everything that must hold before a change is merged

figures: $(READY)  ## Measure the figures of the README on corpora/
	$(RUN) tests.benchmarks.corpora

bench: $(READY)  ## Measure speed and memory beside LangChain with Chroma (an hour, 2 GB more)
	$(RUN) tests.benchmarks.speed

fix: $(READY)  ## Format, and repair what ruff can repair
	$(RUN) ruff format
	$(RUN) ruff check --fix

setup: $(READY)  ## Install the tested versions into .venv; every other target does it if needed

$(READY): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python 3.11 or newer that can make an environment was found; install one," >&2; \
		echo "on Debian and Ubuntu: apt-get install python3 python3-venv" >&2; \
		exit 1; \
	fi
	@echo "Installing into $(VENV) with $(PYTHON): 2 GB, a few minutes."
	@"$(PYTHON)" -m venv "$(VENV)"
	@$(RUN) pip install --quiet --disable-pip-version-check -c constraints.txt --upgrade pip
	@$(RUN) pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[notebooks,office]" --group dev
	@touch "$@"

clean:  ## Remove what the other targets have made: environment, caches, indexes of corpora/
	rm -rf .venv .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage build dist *.egg-info
	rm -rf corpora/*/.rag
	find rag tests -name __pycache__ -type d -prune -exec rm -rf {} +
