# The commands of kubetune's developers and first users. Logic lives in Python; targets are a few lines each.
VENV := .venv
BIN := $(VENV)/bin
AIRFLOW_VENV := .venv-airflow
SCAN_VENV := .venv-scan
MLFLOW_VENV := .venv-mlflow
AIRFLOW_PIP := $(BIN)/uv pip install --python $(AIRFLOW_VENV)/bin/python --quiet
PYTHON ?= $(shell command -v python3.11 || command -v python3)
INSTALL := $(BIN)/uv pip install --python $(BIN)/python --quiet --require-hashes
DEMO := tweets

.DEFAULT_GOAL := help
.PHONY: help audit install install-dev lock demo stop install-airflow test test-slow test-dags test-dags-slow test-s3 test-tracking test-mlflow manifests scan lint fmt types clean \
  images images-list images-push images-report kind-up kind-demo kind-test kind-test-full kind-down

help: ## show this list
	@grep -hE '^[a-z][a-z0-9-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "make: $(PYTHON) is not Python 3.11; give one as make PYTHON=/path/to/python3.11" >&2; exit 78; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9

$(VENV)/.pipeline: requirements/pipeline.txt requirements/demo.txt pyproject.toml | $(BIN)/uv
	$(INSTALL) --requirements requirements/pipeline.txt
	$(INSTALL) --no-deps --requirements requirements/demo.txt
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # some packages ship files for other Pythons
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/build.txt requirements/chart.txt $(VENV)/.pipeline
	$(INSTALL) --build-constraints requirements/build.txt --requirements requirements/dev.txt
	$(INSTALL) --no-deps --requirements requirements/chart.txt
	@touch $@

$(AIRFLOW_VENV)/.dags: requirements/airflow-dev.txt pyproject.toml | $(BIN)/uv
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(AIRFLOW_VENV)
	$(AIRFLOW_PIP) --require-hashes --no-deps --requirements requirements/airflow-dev.txt
	$(AIRFLOW_PIP) --no-deps --no-build-isolation --editable .
	PYTHONDONTWRITEBYTECODE= $(AIRFLOW_VENV)/bin/python -m compileall -qq -j 0 $(AIRFLOW_VENV)/lib || true
	@touch $@

install: $(VENV)/.pipeline ## make the environment from the hashed locks

install-dev: $(VENV)/.dev ## the same with the tools of a developer

install-airflow: $(AIRFLOW_VENV)/.dags ## Airflow's own environment, for the tests of the DAGs

lock: | $(BIN)/uv ## write the locks again
	PATH="$(CURDIR)/$(BIN):$$PATH" sh requirements/lock.sh

demo: install ## real tweets → a fine-tuned model → predictions over HTTP, on this machine
	@$(BIN)/kubetune run $(DEMO)
	@$(BIN)/kubetune predict --endpoint $(DEMO) "I love how fast this phone is" \
	  "My flight is cancelled and nobody answers the phone" "The meeting starts at nine on Monday"
	@$(BIN)/kubetune endpoints

stop: install ## stop the demo's server
	@$(BIN)/kubetune stop $(DEMO)

test: install-dev install-airflow ## the default tier: no network, no Docker, no GPU
	@log=$$(mktemp); $(MAKE) --no-print-directory test-dags >"$$log" 2>&1 & airflow=$$!; \
	$(BIN)/pytest -m "not s3 and not cluster and not slow" --numprocesses 2 --dist loadfile; code=$$?; \
	wait $$airflow || code=$$?; cat "$$log"; rm -f "$$log"; exit $$code

test-slow: install-dev install-airflow ## servers, kills, races and whole runs; MLflow's is test-tracking
	@log=$$(mktemp); $(MAKE) --no-print-directory test-dags-slow >"$$log" 2>&1 & airflow=$$!; \
	$(BIN)/pytest -m "slow and not full and not s3 and not cluster" --ignore tests/tracking --numprocesses 2 --dist loadfile; \
	code=$$?; wait $$airflow || code=$$?; cat "$$log"; rm -f "$$log"; exit $$code

test-dags-slow: install-airflow ## whole runs of the DAGs in Airflow's environment
	timeout -k 10 1500 $(AIRFLOW_VENV)/bin/python -m pytest -W default -m "slow and not full" tests/dags

test-dags: install-airflow ## the DAGs in Airflow's environment
	timeout -k 10 1500 $(AIRFLOW_VENV)/bin/python -m pytest -W default -m "not slow" tests/dags

test-s3: install-dev ## the store's suite against the S3 server in KUBETUNE_TEST_S3=http://key:secret@host:port/bucket
	$(BIN)/pytest tests/storage -m s3

$(MLFLOW_VENV)/.server: requirements/images/core.txt requirements/images/tracking.txt | $(BIN)/uv
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(MLFLOW_VENV)
	$(BIN)/uv pip install --python $(MLFLOW_VENV)/bin/python --quiet --require-hashes --no-deps $(foreach lock,core tracking,\
	  --requirements requirements/images/$(lock).txt)
	@touch $@

test-tracking: install-dev $(MLFLOW_VENV)/.server ## the mirror against a real MLflow server, started on loopback
	KUBETUNE_TEST_MLFLOW_PYTHON=$(CURDIR)/$(MLFLOW_VENV)/bin/python $(BIN)/python tests/mlflow_server.py $(MLFLOW_VENV)/bin/mlflow $(BIN)/pytest tests/tracking

test-mlflow: install-dev $(MLFLOW_VENV)/.server ## MLflow's server from its image's lock, on PostgreSQL and KUBETUNE_TEST_S3
	KUBETUNE_TEST_MLFLOW_PYTHON=$(CURDIR)/$(MLFLOW_VENV)/bin/python $(BIN)/pytest tests/images/test_tracking_server.py -m s3

manifests: install-dev ## manifests/, the chart's README and what it knows of recipes
	$(BIN)/python charts/tools/chart_recipes.py
	$(BIN)/python charts/tools/chart_manifests.py
	$(BIN)/python charts/tools/chart_readme.py

$(SCAN_VENV)/.scan: requirements/scan.txt | $(BIN)/uv
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(SCAN_VENV)
	$(BIN)/uv pip install --python $(SCAN_VENV)/bin/python --quiet --require-hashes --requirements requirements/scan.txt
	@touch $@

scan: install-dev $(SCAN_VENV)/.scan ## checkov on the chart's rendered profile prod
	$(BIN)/python charts/tools/chart_scan.py $(SCAN_VENV)/bin/checkov

audit: install-dev ## the locks against ADVISORIES=FOLDER, a clone of pypa/advisory-database
	$(BIN)/python requirements/audit.py "$(ADVISORIES)"

lint: install-dev ## style, layers and the rules of the house, each broken one by its sentence
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pytest tests/test_house.py

fmt: install-dev ## format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: install-dev ## mypy, strict
	$(BIN)/mypy

images: ## build all images; BUILD_FLAGS, DOCKER, PYTHON_IMAGE … say how (images/README.md)
	$(PYTHON) images/build.py build

images-push: ## push them: REGISTRY=registry.example.com/team, or REGISTRY_PUSH='command that takes names'
	$(PYTHON) images/build.py push --registry "$(REGISTRY)"

images-list: ## what a site without the internet mirrors and builds
	@$(PYTHON) images/build.py list

images-report: ## their sizes, and what is stored once
	@$(PYTHON) images/build.py report

kind-up: ## a kind cluster with kubetune in it: images built and put in, chart installed, addresses printed
	@PYTHON="$(PYTHON)" images/kind.sh up

kind-demo: install ## submit recipe tweets to it, follow the run, ask its endpoint
	@images/kind.sh demo

kind-test: install-dev ## the tests that need the cluster
	$(BIN)/pytest tests/cluster -m "cluster and not full"

kind-test-full: install-dev ## those and the ones that take many minutes: long faults, rollouts under load
	$(BIN)/pytest tests/cluster -m cluster -s

kind-down: ## delete it
	@images/kind.sh down

clean: ## remove the environment and what the tools cached
	rm -rf $(VENV) $(AIRFLOW_VENV) $(SCAN_VENV) $(MLFLOW_VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
