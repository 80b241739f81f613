# varpaint: `make run`. Each target sets up .venv by itself; the second time that takes no time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# cuda where an NVIDIA GPU answers, else cpu; or say so: make run FLAVOUR=cpu
FLAVOUR ?= $(shell nvidia-smi -L 2>/dev/null | grep -q '^GPU' && echo cuda || echo cpu)
CONSTRAINTS := constraints-$(FLAVOUR).txt

# Stamps, newer than the lists they were installed from. Their names hold the flavour, so that a
# change of it installs again.
CREATED := $(VENV)/.created
RUN := $(VENV)/.run-$(FLAVOUR)
DEV := $(VENV)/.dev-$(FLAVOUR)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint bench data clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10
	@echo 'Options go into ARGS: make run ARGS="--port 7861"'

run: $(RUN) ## Open varpaint in the browser
	$(BIN)/python app.py $(ARGS)

# All of them: files side by side, a core each; then the browser's, which want the cores alone, those
# with the most tests first, so that no core is left without work at the end.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile
test: $(DEV) ## Run all tests (ARGS="tests/test_editor.py -x" runs some)
ifeq ($(strip $(ARGS)),)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not browser" $(SIDE_BY_SIDE) --no-loadscope-reorder
	$(BIN)/python -m pytest -m browser $(SIDE_BY_SIDE)
else
	$(BIN)/python -m pytest $(ARGS)
endif

lint: $(DEV) ## Check style and types
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

bench: $(RUN) ## Measure speed and memory
	$(BIN)/python -m engine bench $(ARGS)

data: $(DEV) ## Fetch and prepare the training set (needs npm and apt-get)
	$(BIN)/python -m engine.training.fetch $(ARGS)
	$(BIN)/python -m engine.evaluation.fetch $(ARGS)

clean: ## Remove .venv and what tools left behind
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(CREATED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'varpaint needs Python 3.11 or newer; name one: make run PYTHON=python3.12' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# xformers has no use without CUDA, so the cpu flavour leaves its line out (see requirements.txt).
$(RUN): requirements.txt $(CONSTRAINTS) | $(CREATED)
	@rm -f $(VENV)/.run-* $(VENV)/.dev-*
	@echo 'Installing what varpaint runs on ($(FLAVOUR)); this happens once.'
	@grep -v $(if $(filter cuda,$(FLAVOUR)),'^#','^xformers') requirements.txt > $(VENV)/requirements.txt
	$(PIP) --requirement $(VENV)/requirements.txt --constraint $(CONSTRAINTS)
	@$(BIN)/python -c 'import cv2' || \
	  { echo 'OpenCV misses a system library; on Debian or Ubuntu: apt-get install libgl1 libglib2.0-0' >&2; exit 1; }
	@touch $@

$(DEV): requirements-dev.txt $(RUN)
	$(PIP) --requirement requirements-dev.txt --constraint $(CONSTRAINTS)
	@touch $@
