# Every command of the project. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PY := .venv/bin/python
COMPILE := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header
STYLED := include local dags tests benchmarks .astro
export PYTHONPATH := $(CURDIR)
# What a person gives reaches the programs as it was typed, by the environment: in a recipe's text it would be run.
override DATA := $(value DATA)
override ONCE := $(value ONCE)
override ARGS := $(value ARGS)
override UPGRADE := $(value UPGRADE)
override NAME := $(value NAME)
override SOBJECT := $(value SOBJECT)
export DATA ONCE ARGS UPGRADE NAME SOBJECT
export PYTHONUNBUFFERED := 1

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# --- environment -------------------------------------------------------------
.venv/.local: requirements-local.txt local/bootstrap.sh
	@sh local/bootstrap.sh local

.venv/.dev: requirements-dev.txt local/bootstrap.sh
	@sh local/bootstrap.sh dev

.PHONY: lock
lock: .venv/.dev ## compile requirements*.in into pinned, hashed requirements*.txt; lock the jars
	$(COMPILE) $$UPGRADE requirements-dev.in -o requirements-dev.txt
	$(COMPILE) -c requirements-dev.txt requirements-local.in -o requirements-local.txt
	$(COMPILE) -c requirements-dev.txt requirements-spark.in -o requirements-spark.txt
	$(COMPILE) -c requirements-dev.txt requirements.in -o requirements.txt
	$(PY) -m local.maven lock

# --- the system on this machine ------------------------------------------------
.PHONY: up down demo status doctor
up: .venv/.local ## start PostgreSQL, Redis, Neo4j and Airflow here (state in .local/)
	@$(PY) -m local up

down: ## stop everything `make up` started
	@if [ -x $(PY) ]; then $(PY) -m local down; fi

status: .venv/.local ## what runs, where, since when
	@$(PY) -m local status

demo: .venv/.local ## up + demo data + every pipeline once + summary (ONCE=1: end after it; DATA=file: your own)
	@$(PY) -m local demo

doctor: .venv/.local ## check versions, connections, stream group, schema
	@$(PY) -m local run -- $(PY) -m include.cli doctor

# --- objects of Salesforce (docs/adding-an-object.md) -----------------------------
.PHONY: new-object object-migration
new-object: .venv/.dev ## start a module for another Salesforce object: NAME=pathways SOBJECT=Pathway__c
	@$(PY) -m include.vms.scaffold "$$NAME" "$$SOBJECT"

object-migration: .venv/.dev ## write the migration that a new or changed object module needs: NAME=pathways
	@$(PY) -m local.object_migration "$$NAME"

# --- checks ----------------------------------------------------------------------
.PHONY: test test-unit lint format types docs docs-check check
test: .venv/.dev ## all tests; starts what they need and stops it again
	@PYTEST_ADDOPTS="$$PYTEST_ADDOPTS $$ARGS" $(PY) -m pytest tests -n 2

test-unit: .venv/.dev ## only the fast tests, no servers
	@PYTEST_ADDOPTS="$$PYTEST_ADDOPTS $$ARGS" $(PY) -m pytest tests/unit -n 2

lint: .venv/.dev ## ruff and the configuration files
	$(PY) -m ruff check $(STYLED)
	$(PY) -m ruff format --check $(STYLED)
	$(PY) -m yamllint -s .

format: .venv/.dev ## let ruff mend what it can
	$(PY) -m ruff check --fix $(STYLED)
	$(PY) -m ruff format $(STYLED)

types: .venv/.dev ## mypy, strict for include/ and local/
	$(PY) -m mypy

docs: .venv/.dev ## write the pages that are made from the code (docs/DAGs.md, data-dictionary.md, errors.md, thresholds.md)
	@$(PY) -m include.operations.docs

docs-check: .venv/.dev ## fail when one of those pages is stale
	@$(PY) -m include.operations.docs --check

check: lint types docs-check test ## everything CI runs

# --- benchmarks ------------------------------------------------------------------
.PHONY: bench-stream
bench-stream: .venv/.dev ## stream to graph: ratios against the naive loop and the bare writer
	@$(PY) -m benchmarks.stream $$ARGS
	@$(PY) -m benchmarks.scheduled

.PHONY: bench-ops
bench-ops: .venv/.dev ## statistics and watchdog on a million task instances, beside plain full scans
	@$(PY) -m benchmarks.operations $$ARGS

.PHONY: bench-restore
bench-restore: .venv/.dev ## how long dump, restore check and restore take, with sizes
	@$(PY) -m benchmarks.restore $$ARGS

.PHONY: bench-salesforce
bench-salesforce: .venv/.dev ## a sync of Salesforce beside an ORM, dlt, Singer and a bare COPY; one without changes
	@$(PY) -m benchmarks.salesforce $$ARGS

.PHONY: bench-sync
bench-sync: .venv/.dev ## the syncs through the scheduler, empty and incrementally: ARGS="10 1" is 10 % and an hour
	@$(PY) -m benchmarks.salesforce_scheduled $$ARGS

.PHONY: bench-analysis
bench-analysis: bench-graph bench-causal bench-store bench-pipeline ## the 6-hour pipeline: its parts, then all of it

.PHONY: bench-pipeline
bench-pipeline: .venv/.dev ## the 6-hour pipeline through the scheduler: 2,000 people, 15,000 edges, 52 weeks
	@$(PY) -m benchmarks.analysis_scheduled

.PHONY: bench-store
bench-store: .venv/.dev ## metric store at two years of 2,000 people: trends, writing, roll-ups
	@$(PY) -m benchmarks.metric_store $$ARGS

.PHONY: bench-graph
bench-graph: .venv/.dev ## graph metrics beside networkx; 100,000 people within their time budget; a whole refresh, and reads
	@$(PY) -m benchmarks.graph_metrics
	@$(PY) -m benchmarks.graph_refresh

.PHONY: bench-causal
bench-causal: .venv/.dev ## effects of 100,000 and a million rows, beside pyfixest, linearmodels and Spark
	@$(PY) -m benchmarks.causal $$ARGS

.PHONY: bench-alerts
bench-alerts: .venv/.dev ## from a task's end to the alert, p50/p95; what a hanging Slack holds up
	@$(PY) -m benchmarks.alerts $$ARGS
