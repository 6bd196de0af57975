# Two commands work on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
AUDIT_STAMP := $(VENV)/.installed-audit
KUBERAY_STAMP := $(VENV)/.installed-kuberay
CLUSTER_STAMP := $(VENV)/.installed-cluster
ZOO_STAMP := $(VENV)/.installed-zoo
DOCS_STAMP := $(VENV)/.installed-docs
# one more than two cores: whole runs of the program wait for others much of their time
TEST_WORKERS ?= 3

.PHONY: help demo test test-cluster science faults zoo soak fuzz bench bench-full bench-gpu bench-regions test-containers test-kuberay audit docs test-docs lint format clean clean-results
help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(STAMP)  ## run the quickstart study on all cores and print its stability table
	$(BIN)/gradstab run studies/quickstart

test: $(STAMP)  ## run all tests
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup

test-cluster: $(STAMP)  ## run the quickstart study on three Ray nodes, kill one, add one, check every record (minutes)
	$(BIN)/python -m tests.cluster

science: $(STAMP)  ## measure every claim of theory that trials can test, print one table (SCIENCE=--help; minutes)
	$(BIN)/python -m tests.science $(SCIENCE)

faults: $(CLUSTER_STAMP)  ## run whole studies while servers, disks and machines fail (minutes)
	$(BIN)/python -m pytest -m faults --timeout 900 tests

zoo: $(ZOO_STAMP)  ## run the probe on models of torchvision, timm and transformers (minutes)
	$(BIN)/python -m pytest -m 'zoo or not zoo' tests/zoo -rs

soak: $(STAMP)  ## run a study under random faults for MINUTES, check every record (SEED repeats the faults)
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

fuzz: $(STAMP)  ## load N hostile study files and settings (SEED repeats a run)
	$(BIN)/python -m tests.fuzz --count $(or $(N),20000) $(if $(SEED),--seed $(SEED))

bench: $(BENCH_STAMP)  ## compare Ray Tune, a bare loop and gradstab (BENCH=--help: sections and sizes)
	$(BIN)/python -m tests.bench $(BENCH)

bench-full: $(BENCH_STAMP)  ## the benchmark in acceptance sizes, finished sections are kept (hours; BENCH=--help)
	$(BIN)/python -m tests.bench.full $(BENCH)

bench-gpu: $(STAMP)  ## training on a GPU against the CPU: equal, how fast, what memory (8 minutes; CPU where is none)
	$(BIN)/python -m tests.bench.gpu

bench-regions: $(STAMP)  ## compare samplers on planted regions, and claims with the truth (20 CPU-minutes)
	$(BIN)/python -m tests.bench.regions $(BENCH)

test-containers: $(STAMP)  ## run the compose stack: studies, faults, the secured variant (needs Docker; minutes)
	$(BIN)/python -m tests.containers $(CONTAINERS)

test-kuberay: $(KUBERAY_STAMP)  ## check the pods of the Kubernetes manifest against Kubernetes' published schemas
	$(BIN)/python -m tests.kuberay_pods

audit: $(AUDIT_STAMP)  ## look up every pinned package in the database of known vulnerabilities
	$(BIN)/python -m tests.audit_dependencies

lint: $(STAMP)  ## run ruff and strict mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## format the code with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DOCS_STAMP)  ## build the documentation as a site in build/docs/site; warnings and broken links are errors
	rm -rf build/docs
	mkdir -p build/docs/source
	git ls-files --cached --others --exclude-standard -- '*.md' docs studies LICENSE | tar -cf - -T - | tar -xf - -C build/docs/source
	$(BIN)/python -m mkdocs build --strict --config-file docs/mkdocs.yml
	@echo "open build/docs/site/index.html"

test-docs: $(STAMP)  ## type every command of the documentation in a fresh copy of the checkout (DOCS=--write: keep the outputs)
	$(BIN)/python -m tests.docs $(DOCS)

clean:  ## delete the virtual environment, caches and what is built; studies stay
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache *.egg-info

clean-results: $(STAMP)  ## delete the results of the demo, after a question
	if $(BIN)/gradstab list --format json | grep -q '"name": "quickstart"'; then $(BIN)/gradstab remove quickstart; fi

# pip obeys the constraints file, because another version of torch would fetch gigabytes for GPUs
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

$(CLUSTER_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[cluster]'
	touch $(CLUSTER_STAMP)

$(ZOO_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[zoo]'
	touch $(ZOO_STAMP)

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	touch $(DOCS_STAMP)
