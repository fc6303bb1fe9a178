# Commands for development; `make` lists them.
VENV := .venv
BIN := $(VENV)/bin

# uv has its own variable for a folder of wheels; pip's is used too.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Else each command of a project would compile PyTorch again.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
BROWSERS := chromium chromium-browser google-chrome
.PHONY: help setup browser lint format test test-fast freshness demo build release clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

setup:  ## Create .venv, with uv in it if the machine has none
	@test -x $(BIN)/python || python3 -m venv $(VENV)
	@command -v uv >/dev/null || $(BIN)/python -m pip install --quiet uv
	uv sync --quiet --inexact --compile-bytecode

lint: setup  ## Check style, format and types
	ruff check
	ruff format --check
	ty check

format: setup  ## Fix style and format
	ruff check --fix
	ruff format

# For the page of a project's server.
browser:
	@for name in $(BROWSERS); do command -v $$name >/dev/null && exit; done; \
	if test "$$(id -u)" = 0; then apt-get update -qq && apt-get install -qqy chromium; \
	else echo "the tests need a browser: sudo apt-get install chromium" >&2; exit 1; fi

test: setup browser  ## Run the tests without the mark `nightly`; ARGS go to pytest
	pytest --numprocesses auto --dist worksteal $(ARGS)

test-fast: setup  ## Run the tests without the marks `slow` and `nightly`
	pytest --numprocesses auto --dist worksteal -m "not slow and not nightly" $(ARGS)

freshness: setup  ## Try projects with their newest and lowest dependencies; ARGS=newest
	python scripts/freshness.py $(ARGS)

demo: setup  ## Create a project, train, register and serve it, and send it requests; MODALITY=image|tabular
	python demo/demo.py $(MODALITY)

build: setup  ## Build the sdist and the wheel into dist/
	uv build --quiet

release: setup  ## Tag VERSION=x.y.z, build it and try it out; push nothing
	python scripts/release.py --check $(VERSION)
	$(MAKE) lint test-fast
	python scripts/release.py $(VERSION)

clean:  ## Remove the environment and whatever was built
	rm -rf $(VENV) build dist demo/scratch .pytest_cache .ruff_cache
