# `make` alone lists the targets. ARGS passes through: make repro ARGS="--force train", make test ARGS="-k pool".

PYTHON ?= python3
ARGS ?=
# What `make sweep` tries: two weights of the identity loss and two schedules, each in two epochs. ARGS may add, or set anew.
SWEEP ?= -S loss.lambda_identity=0,0.5 -S schedule.lr_policy=linear,constant -S schedule.n_epochs=1 -S schedule.n_epochs_decay=1
VENV := .venv
INSTALLED := $(VENV)/.installed
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help repro sweep test complete faults bench ui clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

repro: $(INSTALLED) ## run the pipeline: download, preprocess, train, evaluate, export (what is up to date is not run again)
	dvc repro $(ARGS)

sweep: $(INSTALLED) ## try two loss weights and two schedules as DVC's experiments, and compare them (docs/experiments.md)
	cyclegan sweep $(SWEEP) --html reports/sweep.html $(ARGS)

test: $(INSTALLED) ## run the linter, the type checker, the import contract and the tests
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

complete: $(INSTALLED) ## run every test in its whole form, also what make test leaves out; takes long
	pytest -m "" --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

faults: $(INSTALLED) ## kill, starve and deceive it in every way there is a test for; of that, make test runs a short form
	pytest tests/faults -m "" --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

bench: $(INSTALLED) ## measure speed, memory and start-up on this machine, beside a textbook step (docs/performance.md)
	python benchmarks $(ARGS)

ui: $(INSTALLED) ## browse the runs in MLflow, at http://127.0.0.1:5000 unless ARGS says otherwise
	cyclegan ui $(ARGS)

clean: ## remove what make can make again; keeps your pictures, MLflow's runs and DVC's cache
	rm -rf $(VENV) data models .checkpoints .downloads .features .mlflow.lock .hypothesis .*_cache src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The one set-up, for every target: run again only when the dependencies change.
$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "installing into $(VENV): some minutes, about 7 GB"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[dev]'
	@touch $(INSTALLED)
