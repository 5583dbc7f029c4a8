# Each target sets up what it needs; nothing has to be done by hand before.
.DEFAULT_GOAL := help
BIN := .venv/bin
JOBS ?= 2

.PHONY: help demo test check unit bench bench-quick campaigns clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 13

demo: ## the whole story on this machine: train, lose a site, recover, prove it
	@tools/setup run
	@$(BIN)/holdfast demo --dir demo-out --overwrite

test: check unit ## everything that a change must pass

check: ## format, lint, types, layers
	@tools/setup dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: ## the tests
	@tools/setup dev
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal

bench: ## Holdfast beside restic, borg, zstd and others, in one run: an hour or more; writes docs/benchmarks.md
	@tools/setup dev
	@tools/setup bench
	$(BIN)/python -m benchmarks --plan full --docs $(BENCH)

bench-quick: ## the same on small data, in less than three minutes; writes no page
	@tools/setup dev
	@tools/setup bench
	$(BIN)/python -m benchmarks --plan quick $(BENCH)

campaigns: ## the long forms of the recovery tests: 200 kills, every byte damaged, 8 GB
	@tools/setup dev
	$(BIN)/python -m tests.recovery.campaigns

clean: ## remove what the targets made
	rm -rf .venv .bench-venv node_modules demo-out build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
