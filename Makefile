# Each target sets up what it needs; nothing has to be done by hand before.
.DEFAULT_GOAL := help
BIN := .venv/bin
JOBS ?= 2

.PHONY: help demo test check unit bench campaigns clean

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

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

bench: ## quick measurements beside cp and zstd, in one run
	@tools/setup dev
	$(BIN)/python -m benchmarks.save_restore

campaigns: ## the long forms of the recovery tests: 200 kills, every byte damaged, 8 GB
	@tools/setup dev
	$(BIN)/python -m tests.recovery.campaigns

clean: ## remove what the targets made
	rm -rf .venv node_modules demo-out build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
