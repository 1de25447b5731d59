# Every target says what it does behind `##`; `make help` prints that.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two more than cores: many tests wait for a server or a pod.
WORKERS ?= $(shell echo $$(($$(nproc) + 2)))
export PYTHONPATH := dev
# Tests start hundreds of processes, each of which would compile the tree. Git and the images leave out what is kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^##@/ {print substr($$0, 5)} /^[a-z][a-z0-9-]*:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Python environment
# uv takes a third of pip's CPU time. It reads UV_DEFAULT_INDEX and UV_INDEX, not pip's settings.
$(VENV)/.installed: requirements/uv.txt requirements/dev.txt pyproject.toml
	@echo "Installing the Python environment into $(VENV) (half a minute) ..."
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed, this is %s; set PYTHON=..." % sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements/dev.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: venv
venv: $(VENV)/.installed ## Make the Python environment in .venv from the hashed pins

UV_COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate
.PHONY: lock
lock: venv ## Refresh requirements/*.txt from pyproject.toml (add UPGRADE=--upgrade for newer versions)
	$(UV_COMPILE) $(UPGRADE) pyproject.toml --extra operator --extra kubeconfig --extra jobs --group dev -o requirements/dev.txt
	$(UV_COMPILE) pyproject.toml --extra operator -c requirements/dev.txt -o requirements/operator.txt
	$(UV_COMPILE) pyproject.toml --extra jobs -c requirements/dev.txt -o requirements/jobs.txt
	$(UV_COMPILE) --group build -c requirements/dev.txt -o requirements/build.txt
	$(UV_COMPILE) --group installer -c requirements/dev.txt -o requirements/uv.txt

.PHONY: lint
lint: venv ## Check style, types and the architecture's import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: hooks
hooks: venv ## Let git run the checks of make lint before each commit
	$(BIN)/pre-commit install

##@ Tests
# Tests that share something dear are one group, on one worker; groups are begun first.
PREPARE = $(BIN)/python -m catchup_dev.prepare
PYTEST_PARALLEL = $(BIN)/pytest -n $(WORKERS) --dist loadgroup --durations=20
.PHONY: test
test: lint ## Lint, then all tiers side by side
	$(PREPARE)
	CATCHUP_SAMPLE=1 $(PYTEST_PARALLEL) --hypothesis-profile=quick tests
.PHONY: test-all
test-all: venv ## In full what make test plays a sample of: both databases, random examples, a kill at each line, the pages of the docs
	$(PREPARE)
	CATCHUP_ALL=1 $(PYTEST_PARALLEL) -m "sampled or hypothesis or both_databases or release" tests
.PHONY: test-unit
test-unit: venv ## Unit tests: seconds, no services, no test marked slow
	$(BIN)/pytest -n 2 --hypothesis-profile=quick -m "not slow" tests/unit
.PHONY: test-integration
test-integration: venv ## A real API server, Redis, PostgreSQL and SQLite; doubles of Google
	$(PREPARE)
	$(PYTEST_PARALLEL) tests/integration
.PHONY: test-e2e
test-e2e: venv ## The chart by Helm on a real node; needs root, and says so without it
	$(PREPARE)
	$(PYTEST_PARALLEL) tests/e2e
.PHONY: test-arm64
test-arm64: venv ## The jobs' image for arm64, built and started by emulation (ten minutes the first time; needs root)
	CATCHUP_ARM64=1 $(BIN)/pytest -n 0 tests/e2e/test_images.py -k arm64
.PHONY: torture
torture: venv ## Every fault of the operator, 200 random runs of it and 200 of the jobs, a hundred pods at once (two hours; CATCHUP_SEED=17 plays one)
	CATCHUP_TORTURE=1 $(BIN)/pytest -n $(WORKERS) --dist worksteal tests/integration/operator/test_start.py tests/integration/operator/test_faults.py tests/integration/operator/test_many.py tests/integration/operator/test_torture.py tests/integration/jobs/test_stories.py tests/integration/jobs/test_quota.py
.PHONY: test-due-dates
test-due-dates: venv ## Every quarter of an hour in every zone against the CronJob controller's cron library, and served by a pool (hours; an hour of it the pool)
	CATCHUP_ALL_DUE_DATES=1 $(BIN)/pytest tests/integration/operator/test_digest_due_dates.py tests/integration/operator/test_pool_due_dates.py tests/integration/operator/test_schedules_of_peers.py

.PHONY: bench-operator
bench-operator: venv ## The operator beside clients in Go that send the same writes, at 200 to 10,000 resources (an hour)
	$(BIN)/python tests/benchmarks/reconciliation.py
	$(BIN)/python tests/benchmarks/reconciliation.py --streaming --sizes 1000,3000
	$(BIN)/python tests/benchmarks/reconciliation.py --only operator --rounds 1 --sizes 10000
.PHONY: bench-pool
bench-pool: venv ## Ten thousand members of a pool and a hundred users with CronJobs, served on a local Kubernetes (half an hour)
	$(BIN)/python tests/benchmarks/pool_cluster.py
.PHONY: bench
bench: venv ## What a pod pays per subcommand, how fast the fleet's suggestions are planned, the database's size per user (minutes)
	$(BIN)/python tests/benchmarks/pods.py
	$(BIN)/python tests/benchmarks/suggestions.py
	$(BIN)/python tests/benchmarks/sizes.py
	$(BIN)/python tests/benchmarks/metrics.py
	$(BIN)/python tests/benchmarks/pool.py

.PHONY: generate
generate: venv ## Make the generated files: the chart's CRD, schema and README, docs/configuration.md, docs/numbers.md, tables of docs/scaling.md
	$(BIN)/python -m catchup_dev.generate

##@ Local Kubernetes
.PHONY: cluster-up cluster-down cluster-status images sbom
cluster-up: venv ## A real Kubernetes on this machine (builds it from source on the first run)
	$(BIN)/python -m catchup_dev.cluster up
cluster-down: venv ## End it; nothing stays but the caches
	$(BIN)/python -m catchup_dev.cluster down
cluster-status: venv ## Its components, addresses and versions
	$(BIN)/python -m catchup_dev.cluster status
images: venv ## Build the images and give them to the local cluster, if it runs
	$(BIN)/python -m catchup_dev.images build operator jobs redis postgres
sbom: venv ## What is in the images of operator and jobs, as CycloneDX: .local/sbom/
	$(BIN)/python -m catchup_dev.sbom operator jobs

.PHONY: demo demo-down run-operator
DEMO = $(BIN)/python -m catchup_dev.demo $(if $(CLUSTER),--cluster $(CLUSTER)) $(if $(REGISTRY),--registry $(REGISTRY)) $(if $(VALUES),--values $(VALUES))
demo: venv ## The product on a local Kubernetes, or CLUSTER=current|kind|minikube|k3d: syncs, suggestions, digests, a dead letter
	@$(DEMO) up
demo-down: venv ## End the demo, and take back what it made
	@$(DEMO) down
run-operator: venv ## Run the operator from the working tree against the running demo, in place of its pod
	@$(BIN)/python -m catchup_dev.run_operator
