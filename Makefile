# One environment, one experiment. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= $(shell nproc)
STAMP := $(VENV)/.installed
EXPERIMENTS := $(basename $(notdir $(wildcard experiments/*.yaml)))

.PHONY: help demo $(EXPERIMENTS) check plan offline-bundle test test-slow test-slurm lint lock clean environment anomalib
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+.*:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 24

# Without a network: the packages of `make offline-bundle`, for the same version of Python.
FROM_BUNDLE = $(if $(WHEELS),--no-index --find-links $(WHEELS))

environment: $(STAMP) ## create the virtual environment from requirements.lock; WHEELS=offline/wheels without a network

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f"error: Python 3.11 to 3.13 is needed, $(PYTHON) is {v.major}.{v.minor}; run: make PYTHON=/path/to/python3.11 ...")'
	@$(PYTHON) -m venv $(VENV) || { echo "error: no environment could be made in $(VENV), see above; if the venv module is missing, on Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check $(FROM_BUNDLE) --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check $(FROM_BUNDLE) --no-deps --no-build-isolation --editable .
	@touch $@

anomalib: $(STAMP) $(VENV)/.anomalib ## add anomalib to the environment: PatchCore, DRAEM and others

# Everything that requirements.lock holds is in this lock, too, at the same version.
$(VENV)/.anomalib: $(STAMP) requirements-anomalib.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-anomalib.lock
	@touch $@

# The kernel drops this lock with its process, so a killed run needs no unlocking.
demo $(EXPERIMENTS): $(STAMP) ## run config.yaml, or experiments/NAME.yaml as `make NAME`; MIRROR=FOLDER instead of downloads
	@command -v flock > /dev/null || { echo "error: flock is missing; on Debian: apt-get install util-linux"; exit 1; }
	@$(if $(filter-out demo,$@),PYTHONPATH="$(CURDIR)" $(BIN)/python workflow/check.py experiments/$@.yaml)
	@mkdir -p .snakemake
	@PATH="$(CURDIR)/$(BIN):$$PATH" flock --nonblock --conflict-exit-code 75 .snakemake/demo.lock \
	  snakemake --nolock --cores $(CORES) $(if $(filter-out demo,$@),--configfile experiments/$@.yaml) \
	  $(if $(MIRROR),--config mirror=$(MIRROR)) \
	  || { status=$$?; [ $$status != 75 ] || echo "error: another experiment or a job of it is still at work here; wait for it or stop it"; exit $$status; }
	@echo "open reports/report.html"

check: $(STAMP) ## whether a config is valid and runs no code: make check EXPERIMENT=from-elsewhere.yaml
	@PYTHONPATH="$(CURDIR)" $(BIN)/python workflow/check.py $(EXPERIMENT)

# Rates measured elsewhere: INVERSION=... TRAINING=..., files that the benchmarks wrote with --json.
plan: $(STAMP) ## what an experiment will cost: make plan EXPERIMENT=experiments/paper.yaml
	@PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH="$(CURDIR)" $(BIN)/python workflow/plan.py \
	  $(if $(EXPERIMENT),--configfile $(EXPERIMENT)) \
	  $(if $(INVERSION),--inversion $(INVERSION)) $(if $(TRAINING),--training $(TRAINING))

# What a cluster without a network needs, as docs/cluster.md says: packages and the experiment's archives.
offline-bundle: $(STAMP) ## packages and archives for a cluster without a network: make offline-bundle EXPERIMENT=experiments/paper.yaml
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock --dest offline/wheels
	@mkdir -p results/downloads
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES) $(if $(EXPERIMENT),--configfile $(EXPERIMENT)) \
	  $(if $(MIRROR),--config mirror=$(MIRROR)) --until archive weights
	find offline/wheels results/downloads -type f ! -name '.*' -print0 | sort -z | xargs -0 sha256sum > offline/SHA256SUMS
	@du -sh offline/wheels results/downloads
	@echo "take them to the project's folder there: rsync -aR offline results/downloads CLUSTER:FOLDER"

# One thread a process: two that spin for each other on the same cores are many times slower.
test test-slow test-slurm: export OMP_NUM_THREADS := 1

test: $(STAMP) ## run the fast tests
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -n $(CORES) --dist loadfile

test-slow: $(STAMP) ## run every test that needs no cluster
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -m "not slurm" -n $(CORES) --dist loadfile

test-slurm: $(STAMP) ## run the experiment on a SLURM cluster of one node, set up on this machine; needs root
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -m "slurm and not slow" --durations=0 tests/slurm

lint: $(STAMP) ## ruff, snakefmt and snakemake --lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --lint

COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --extra dev --no-header pyproject.toml

lock: $(STAMP) ## compile the locks and envs/ from pyproject.toml
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --extra anomalib --constraint requirements.lock --output-file requirements-anomalib.lock
	$(BIN)/python envs/generate.py requirements.lock envs/rgi.yaml
	$(BIN)/python envs/generate.py requirements-anomalib.lock envs/anomalib.yaml

clean: ## remove the environment, results and reports
	rm -rf $(VENV) results reports offline .snakemake
