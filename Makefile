# Everything a developer needs. `make help` lists it. Needs make and Python 3.11 or newer, nothing else.

PYTHON ?= python3
BIN := .venv/bin

# What Python compiled is kept beside its source, also where containers ask it not to: several workers import
# the same tests, and hundreds of tests start a process.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test stack-test torture lint style types layers migrations containers format openapi dashboards kubernetes-rules slo lock lock-check audit bench mutants install clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

install: ## make .venv from the locked requirements, if they changed
	@$(PYTHON) local/bootstrap.py

# `exec`, so that a signal for make reaches the launcher itself.
run: install ## start Amani and all it needs; PORT, PROMETHEUS_PORT, ALERTMANAGER_PORT, INBOX_PORT and BANK_PORT choose ports
	@exec $(BIN)/python -m local.run

# File by file, so that what the tests of a file share is started once; in their order, so that none of the long
# files comes last. Four at once, also on two cores, because many tests wait for processes. Not by groups, which
# pytest-xdist 3.8 does not find under pytest 9.2.
test: install ## run the whole suite; ARGS="-k words" chooses
	@$(BIN)/python -m pytest $(or $(ARGS),-n 4 --dist loadfile --no-loadscope-reorder)

# Minutes, and Docker: not part of .ci/run. `docker` must reach an engine, and no other stack of Amani may run.
stack-test: install ## start docker-compose.yml, break it, count what was lost; needs Docker
	@AMANI_STACK_TEST=1 $(BIN)/python -m pytest $(or $(ARGS),-x -s tests/compose)

# A quarter of an hour: not part of .ci/run, which runs a short one (tests/faults/test_ledger_torture.py).
torture: install ## a million random postings while writers and PostgreSQL are killed; counts what was lost
	@$(BIN)/python -m local.torture $(ARGS)

lint: style types layers migrations containers lock-check audit ## all checks but the tests

style: install ## the code is in the project's style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## types, strictly
	$(BIN)/python -m local.with_services $(BIN)/mypy .

layers: install ## the layers of docs/architecture.md
	$(BIN)/lint-imports --no-logo

migrations: install ## no migration is missing, none would lock or break a running version
	$(BIN)/python -m local.with_services $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m local.with_services $(BIN)/python -m local.lint_migrations

containers: install ## the compose files follow the compose specification, the Dockerfile the rules of hadolint
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml deploy/compose.production.yml
	$(BIN)/hadolint deploy/Dockerfile

format: install ## rewrite the code in the project's style
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

openapi: install ## write docs/openapi.json, the document of the API, from the code
	$(BIN)/python -m local.with_services $(BIN)/python manage.py export_openapi_schema --api amani.api.api --indent 2 --output docs/openapi.json

dashboards: install ## write deploy/grafana/dashboards/ from local/dashboards/
	$(BIN)/python -m local.dashboards

kubernetes-rules: install ## write deploy/kubernetes/rules.yaml from deploy/prometheus/rules/
	@$(BIN)/python -m local.kubernetes_rules

slo: install ## write the rules and the dashboard of the objectives in deploy/slo.yml
	$(BIN)/python -m local.slo
	$(BIN)/python -m local.dashboards
	$(BIN)/python -m local.kubernetes_rules

lock: install ## pin requirements*.in; ARGS="--upgrade" moves to the newest versions
	@$(BIN)/python -m local.lock write $(ARGS)

lock-check: install ## the locked requirements are those of requirements*.in
	@$(BIN)/python -m local.lock check

audit: install ## known vulnerabilities in the locked requirements
	@$(BIN)/python -m local.audit

bench: install ## one table: ours, the limit, the peers
	@$(BIN)/python -m benchmarks

# Hours for the whole list, so neither part of `make test` nor of .ci/run; mutants.toml has the list.
mutants: install ## do the tests notice a changed decision?; ARGS=kyc/limits chooses modules, ARGS=--left repeats
	@$(BIN)/python -m local.mutants $(ARGS)

clean: ## delete what `make run` and `make test` keep: data, logs, caches, .venv
	@$(PYTHON) local/clean.py
