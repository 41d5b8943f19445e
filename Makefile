# make book and make test do all the set-up themselves; `make help` lists the rest.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ehrsynth-installed
SCALE_STAMP := $(VENV)/.ehrsynth-scale-installed
COLAB := .venv-colab
COLAB_STAMP := $(COLAB)/.ehrsynth-installed
# Two chapters or two test processes at a time; each keeps to one thread.
JOBS ?= 2
PORT ?= 8000
# make setup TORCH=cpu: the small PyTorch for processors (on Linux 700 MB instead of 5 GB).
TORCH ?=
# make workshop-kit KIT="--python 3.12 --systems windows": for whom the kit is.
KIT ?=

NEED_PYTHON := import sys; sys.exit(sys.version_info < (3, 11))
# The first Python that is new enough. Say PYTHON=... to choose another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	$$p -c '$(NEED_PYTHON)' 2>/dev/null && echo $$p && break; done)

# Pip compiles one file after the other; compileall does it on all processors afterwards.
PIP_INSTALL := -m pip install -qq --disable-pip-version-check --no-compile
# Kernels start three times slower when they may not keep compiled files.
unexport PYTHONDONTWRITEBYTECODE
export OMP_NUM_THREADS ?= 1
export JUPYTER_PREFER_ENV_PATH := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1

# A name that is no file is made every time.
.PHONY: help setup setup-scale book pdf slides workshop-kit test test-browser test-colab test-spark java test-mutations notebooks lint format hooks serve clean distclean

help:  ## list what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make the virtual environment .venv with everything in it

$(STAMP): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "ehrsynth needs Python 3.11 or newer, and none was found." >&2; \
		echo "Install one, or say which to use: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; fi
	@$(PYTHON) -c '$(NEED_PYTHON)' || { \
		echo "$(PYTHON) is older than Python 3.11; say make PYTHON=/path/to/a/newer/python" >&2; \
		exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV) || { \
		echo "Could not make $(VENV). On Debian or Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; }
	@echo "Installing the packages into $(VENV) (a minute or two, the first time only) ..."
	@if [ "$(TORCH)" = cpu ]; then \
		$(BIN)/python $(PIP_INSTALL) uv && $(BIN)/python -m uv pip install -q --python $(BIN)/python \
			--torch-backend=cpu -c constraints.txt torch; fi
	@$(BIN)/python $(PIP_INSTALL) -c constraints.txt -e ".[gan,book,test]"
	@$(BIN)/python -m compileall -q -j 0 ehrsynth $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@
	@echo "$(VENV) is ready."

book: $(STAMP)  ## run every chapter (fast profile) and build _build/html
	@$(BIN)/python tools/build_book.py --jobs $(JOBS)

test: $(STAMP)  ## run the unit tests and the chapters as regression tests
	@status=0; \
	echo "Unit tests"; \
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadscope --no-loadscope-reorder --ignore tests/test_notebooks.py tests \
		|| status=1; \
	echo; echo "Chapters: papermill runs each, nbval compares their checked outputs"; \
	$(BIN)/python -m pytest -v -n $(JOBS) --dist load tests/test_notebooks.py || status=1; \
	exit $$status

test-mutations: $(STAMP)  ## break a promise at a time (tests/mutations.csv); a test must notice each
	@$(BIN)/python tools/mutations.py --jobs $(JOBS)

test-browser: $(STAMP)  ## look at the built pages in headless Chromium (builds them if need be)
	@test -f _build/html/index.html || $(MAKE) --no-print-directory book
	@EHRSYNTH_BROWSER=required $(BIN)/python -m pytest -q -rs tests/test_browser.py

pdf: book  ## the book as one file to print, _build/ehrsynth.pdf (needs Chromium)
	@$(BIN)/python tools/print_book.py

slides: book  ## slides of every chapter in _build/slides, each one file that needs nothing else
	@$(BIN)/python tools/slides.py

$(COLAB_STAMP): pyproject.toml tests/colab-constraints.txt
	@test -n "$(PYTHON)" || { echo "ehrsynth needs Python 3.11 or newer." >&2; exit 1; }
	@$(COLAB)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(COLAB)
	@echo "Installing what Colab ships into $(COLAB) (a minute or two, the first time only) ..."
	@$(COLAB)/bin/python tools/colab.py install
	@$(COLAB)/bin/python -m compileall -q -j 0 $(COLAB)/lib >/dev/null 2>&1 || true
	@touch $@

workshop-kit: slides  ## all for a class without a network, on a stick: _build/workshop-kit (about 1.1 GB)
	@$(BIN)/python $(PIP_INSTALL) uv
	@$(BIN)/python tools/workshop_kit.py $(KIT)

test-colab: $(COLAB_STAMP)  ## the unit tests and chapters with the package versions of Google Colab
	@$(COLAB)/bin/python tools/colab.py verify
	@$(COLAB)/bin/python -m pytest -q -n $(JOBS) --dist loadscope --no-loadscope-reorder tests \
		--ignore tests/test_notebooks.py --ignore tests/test_house.py --ignore tests/test_tools.py \
		--ignore tests/test_browser.py
	@$(COLAB)/bin/python -m pytest -v -n $(JOBS) --dist load tests/test_notebooks.py \
		-k "papermill and simulated"

setup-scale: $(SCALE_STAMP)  ## add Spark and Dask to the virtual environment

$(SCALE_STAMP): $(STAMP)
	@$(BIN)/python $(PIP_INSTALL) -c constraints.txt -e ".[gan,test,scale]"
	@touch $@

java:
	@command -v java >/dev/null || { \
		echo "Spark needs Java. On Debian or Ubuntu: apt-get install default-jre-headless" >&2; exit 1; }

test-spark: java $(SCALE_STAMP)  ## the extraction on Spark and the training on Dask, as documented (needs Java)
	@$(BIN)/python -m pytest -q -rs -k "spark or dask" tests/test_extract.py tests/test_dask.py

notebooks: $(STAMP)  ## run the chapters and refresh their committed outputs in place
	@$(BIN)/python tools/notebooks.py refresh --jobs $(JOBS)

lint: $(STAMP)  ## check style, types, docstrings, the house and the committed chapters
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/codespell
	@$(BIN)/python tools/docstrings.py
	@$(BIN)/python tools/architecture.py --check
	@$(BIN)/check-jsonschema -q --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema -q --builtin-schema vendor.github-issue-forms \
		.github/ISSUE_TEMPLATE/fault.yml .github/ISSUE_TEMPLATE/wish.yml
	@$(BIN)/pre-commit validate-config
	@$(BIN)/python tools/notebooks.py check

format: $(STAMP)  ## put the code into shape
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

hooks: $(STAMP)  ## let git refuse credentialed patients, and ask for style before each commit
	@git config --unset core.hooksPath || true
	@$(BIN)/pre-commit install

serve: $(STAMP)  ## show the built book at http://localhost:8000
	@test -f _build/html/index.html || $(MAKE) book
	@echo "The book is at http://localhost:$(PORT) (Ctrl-C stops)"
	@$(BIN)/python -m http.server -d _build/html -b 127.0.0.1 $(PORT)

clean:  ## remove what was built, keep the environments
	rm -rf _build build .pytest_cache .ruff_cache .hypothesis *.egg-info
	find ehrsynth tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +

distclean: clean  ## remove the environments too
	rm -rf $(VENV) $(COLAB)
