# Jobs of this repository; each sets up what it needs in .venv.  `make help` lists them.
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
INSTALLED := .venv/installed
LINTERS := .venv/linters
BENCHED := .venv/benched

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-dsa bench-fidelity bench-kernels bench-sim bench-sync bench-tasks clean

help: ## list the jobs
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

demo: $(INSTALLED) ## flash attention from Python to C++, results and latency, beside device measurements
	$(BIN)/python -m ptoc.demo

test: $(INSTALLED) ## all tests: pytest, then lit with FileCheck
	$(BIN)/pytest -n $(JOBS)
	$(BIN)/lit -j $(JOBS) --order=lexical -q lit_tests

lint: $(INSTALLED) $(LINTERS) ## ruff over everything
	$(BIN)/ruff check .

bench: $(INSTALLED) ## speed of compilation and simulation, by kernel
	$(BIN)/python benchmarks/speed.py

bench-sync: $(INSTALLED) ## speed of insert-sync by number of tile ops
	$(BIN)/python benchmarks/insert_sync.py

bench-kernels: $(INSTALLED) $(BENCHED) ## large cases of all kernels: latency, TFLOP/s, GB/s, share of the roofline, engine that bounds
	$(BIN)/python benchmarks/kernels.py

bench-dsa: $(INSTALLED) ## sparse attention against the length of the context: indexer beside attention
	$(BIN)/python benchmarks/dsa.py

bench-fidelity: $(INSTALLED) ## simulated against measured device times, by row and group (some minutes)
	$(BIN)/ptoc fidelity

bench-tasks: $(INSTALLED) ## paged attention as tasks under an orchestration, beside one kernel (some minutes)
	$(BIN)/python benchmarks/tasks.py

bench-sim: $(INSTALLED) $(BENCHED) ## speed of simulation, by engine, beside SimPy
	$(BIN)/python benchmarks/simulation.py

clean: ## remove the environment and what tests wrote
	rm -rf .venv build .pytest_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 10) <= v < (3, 14) or sys.exit(f"ptoc needs Python 3.10 to 3.13, this is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

$(LINTERS): pyproject.toml $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[lint]'
	@touch $@

$(BENCHED): pyproject.toml $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@
