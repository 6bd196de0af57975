# Two commands on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
AUDIT_STAMP := $(VENV)/.installed-audit
KUBERAY_STAMP := $(VENV)/.installed-kuberay
TEST_WORKERS ?= 2

.PHONY: help demo test test-cluster science faults soak fuzz bench bench-regions test-containers test-kuberay audit lint format clean
help:  ## list what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(STAMP)  ## run the quickstart study on all cores and print its stability table
	$(BIN)/gradstab run studies/quickstart --results results

test: $(STAMP)  ## run all tests
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup

test-cluster: $(STAMP)  ## the quickstart study on three raylets, one killed and one added; an exact audit (minutes)
	$(BIN)/python -m tests.cluster

science: $(STAMP)  ## measure every claim of theory that trials can show, as one table (SCIENCE=--help; minutes)
	$(BIN)/python -m tests.science $(SCIENCE)

faults: $(STAMP)  ## whole studies under failing servers, disks and machines (minutes)
	$(BIN)/python -m pytest -m faults --timeout 900 tests

soak: $(STAMP)  ## a study under MINUTES of random faults, then an exact audit (SEED repeats the schedule)
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

fuzz: $(STAMP)  ## N hostile study files and settings (SEED repeats a run)
	$(BIN)/python -m tests.fuzz --count $(or $(N),20000) $(if $(SEED),--seed $(SEED))

bench: $(BENCH_STAMP)  ## the peer, a bare loop and gradstab side by side (BENCH=--help: sections and sizes)
	$(BIN)/python -m tests.bench $(BENCH)

bench-regions: $(STAMP)  ## planted regions: samplers against each other, and claims against the truth (20 CPU-minutes)
	$(BIN)/python -m tests.bench.regions $(BENCH)

test-containers: $(STAMP)  ## the compose stack for real: studies, faults, the secured variant (needs Docker; minutes)
	$(BIN)/python -m tests.containers $(CONTAINERS)

test-kuberay: $(KUBERAY_STAMP)  ## the Kubernetes manifest's pods against Kubernetes' published schemas
	$(BIN)/python -m tests.kuberay_pods

audit: $(AUDIT_STAMP)  ## look every pinned package up in the database of known vulnerabilities
	$(BIN)/python -m tests.audit_dependencies

lint: $(STAMP)  ## ruff and strict mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the virtual environment, caches and demo results
	rm -rf $(VENV) results .pytest_cache .mypy_cache .ruff_cache *.egg-info

# pip under the constraints file: other versions than the pinned torch would fetch gigabytes for GPUs
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gradstab needs Python 3.11 or newer, got %d.%d: make PYTHON=python3.11" % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

$(BENCH_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	touch $(BENCH_STAMP)

$(AUDIT_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[audit]'
	touch $(AUDIT_STAMP)

$(KUBERAY_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[kuberay]'
	touch $(KUBERAY_STAMP)
