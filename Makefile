# Needs Python 3.11 or newer and make; everything else goes into .venv.
#
#   make demo      train on TREC-6, print its test error, classify a sentence
#   make test      lint, types and tests
#
#   make test-slow kills, damaged files and more: takes half an hour, writes its counts
#   make audit     known faults in the pinned packages; asks a server for them
#   make install   only make .venv            make check   lint and types, no tests
#   make docs      renew generated docs       make site    the documentation as pages, in build/site
#   make bench     measure speed here, beside other tools
#   make load      the service under load, with the model of make demo: takes twenty minutes
#   make curves    measure what grows with what: time and memory against length, corpus, labels
#   make clean     remove .venv and caches    (runs/ stays: your models are there)
#
# Another interpreter: make demo PYTHON=/path/to/python3.12

SHELL := /bin/sh
BIN := .venv/bin
STAMP := .venv/installed
ULMFIT := $(BIN)/python -m ulmfit
DEMO := runs/demo

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-slow audit install check docs site bench load curves clean
.DEFAULT_GOAL := help

.PHONY: help
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# The stamp holds the folder that it was made in: a clone that was moved is installed again.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { \
	  echo "ulmfit needs Python 3.11 or newer; python3 here is $$(python3 -V 2>&1)." >&2; \
	  echo "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
	  exit 1; }
	@rm -f $(STAMP)
	@echo "== Making .venv with $(PYTHON) ($$($(PYTHON) -V 2>&1))"
	@$(PYTHON) .ci/make_venv.py .venv
	@echo "== Installing the pinned packages into .venv (the largest, torch, takes a while)"
	@$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	@pwd > $(STAMP)

demo: $(STAMP)
	@echo "== Training on TREC-6: 5,452 questions, 6 classes, 500 more to test on"
	$(ULMFIT) train name:trec6 --out $(DEMO) --seed 0
	@echo "== What it gets right, class by class"
	$(ULMFIT) evaluate $(DEMO) name:trec6
	@echo "== A question of your own"
	$(ULMFIT) predict $(DEMO) --text "Who was the first person to reach the South Pole ?"
	@echo "== Done. The model is in $(DEMO)/. How good it is, and where it fails: open $(DEMO)/report.html"

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A process for each core, up to four, each on one thread. The tests of a file share its fixtures and
# stay together.
test: check
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/pytest -m "not slow" \
	  --numprocesses logical --maxprocesses 4 --dist loadfile

test-slow: $(STAMP)
	RELIABILITY=benchmarks/results/reliability.json $(BIN)/pytest -m slow

audit: $(STAMP)
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

docs: $(STAMP)
	$(BIN)/python docs/generate.py

site: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/site
	@echo "== Open build/site/index.html"

bench: $(STAMP)
	$(BIN)/python -m benchmarks.speed

load: $(STAMP)
	$(BIN)/python -m benchmarks.service_load $(DEMO)

curves: $(STAMP)
	$(BIN)/python -m benchmarks.cost_curves

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
