# Each target sets up what it needs; nothing has to be done by hand before.
.DEFAULT_GOAL := help
BIN := .venv/bin
JOBS ?= 3

.PHONY: long help demo dashboard test check unit drills drill-orchestrator bench bench-quick bench-network bench-shipping bench-stall bench-training bench-bit-flips tiers campaigns fuzz crash-points soak soak-servers campaign drill-networks drill-ransomware drill-slurm drill-systemd mutations bench-bulk bench-catalog bench-recovery examples bench-dashboard bench-server clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

demo: ## the whole story on this machine: train, lose a site, recover, prove it
	@tools/setup run
	@$(BIN)/holdfast demo --dir demo-out --overwrite

dashboard: ## the same story, and then its dashboard in a browser, until Ctrl-C
	@tools/setup run
	@$(BIN)/holdfast demo --dir demo-out --overwrite --keep

test: check unit ## everything that a change must pass

check: ## format, lint, types, layers
	@tools/setup dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: ## the tests
	@tools/setup dev
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal --durations=60

long: ## the tests that are too long for `make test`: Ray, a kept demo, more frameworks, servers without their database
	@tools/setup dev
	HOLDFAST_LONG=1 $(BIN)/pytest -q -n $(JOBS) --dist worksteal -m slow

examples: ## every training framework's example: trains, is killed, resumes from the vault, ends equal; some minutes
	@tools/setup examples
	HOLDFAST_LONG=1 .examples-venv/bin/pytest -q examples/tests tests/integration/test_framework_*.py $(EXAMPLES)

bench: ## Holdfast beside restic, borg, zstd and others, in one run: an hour or more; writes docs/benchmarks.md
	@tools/setup dev
	@tools/setup bench
	$(BIN)/python -m benchmarks --plan full --docs $(BENCH)

bench-quick: ## the same on small data, in less than three minutes; writes no page
	@tools/setup dev
	@tools/setup bench
	$(BIN)/python -m benchmarks --plan quick $(BENCH)

bench-network: ## lines: limits, overtaking, 100 ms and losses beside rclone, processor time; as root, a quarter of an hour
	@tools/setup dev
	@tools/setup bench
	$(BIN)/python -m benchmarks.network --docs docs/network.md $(BENCH)

tiers: ## a simulated year of forty assets on hot, warm and cold stores: its cost, and no RTO broken; six minutes
	@tools/setup dev
	$(BIN)/python -m benchmarks.tiers --docs $(TIERS)

bench-bulk: ## a restore on one and on two nodes of a Ray cluster on this machine, and what a piece costs: BENCH="--mib 512"
	@tools/setup dev
	$(BIN)/python -m benchmarks.bulk_on_ray $(BENCH)

bench-catalog: ## objectives of 10,000 assets, a million snapshots, 100 sites, judged from SQLite and PostgreSQL; some minutes
	@tools/setup dev
	$(BIN)/python -m benchmarks.catalog $(BENCH)

bench-recovery: ## what `recover run` costs over `holdfast restore` of the same bytes, and over cp, in turns: BENCH="--mib 600 --rounds 5"
	@tools/setup dev
	$(BIN)/python -m benchmarks.recovery_overhead --docs docs/recovery.md $(BENCH)

bench-dashboard: ## the first page with 10,000 assets and a million snapshots: the server's time; some minutes
	@tools/setup dev
	$(BIN)/python -m benchmarks.dashboard $(BENCH)

bench-server: ## 200 reads of the API in a second, and 200 viewers of a run that goes on; two minutes: BENCH="--rate 20"
	@tools/setup dev
	$(BIN)/python -m benchmarks.server $(BENCH)

campaigns: ## the long forms of the recovery tests: 200 kills, every byte damaged, 1,000 repairs, 8 GB
	@tools/setup dev
	$(BIN)/python -m tests.recovery.campaigns

drill-orchestrator: ## a run of twelve steps whose control plane dies at every operation, and is killed at every step; two minutes
	@tools/setup dev
	HOLDFAST_ALL_KILLS=1 $(BIN)/python -m pytest -q -s tests/recovery/test_run_crashes.py

fuzz: ## every parser and decoder of stored or outside bytes, for an hour in all: MINUTES=60 FUZZ="TARGET …"
	@tools/setup dev
	$(BIN)/python -m fuzz --minutes $(or $(MINUTES),60) --jobs $(JOBS) $(FUZZ)

crash-points: ## a crash after every single operation on a store, of every verb, and a lost answer at each
	@tools/setup dev
	$(BIN)/python -m tests.recovery.campaigns.crash_points

soak: ## many actors on one vault, operation by operation, in 20,000 steps of a state machine: STEPS=… SEED="--seed N"
	@tools/setup dev
	$(BIN)/python -m tests.recovery.campaigns.soak --steps $(or $(STEPS),20000) $(SEED)

soak-servers: ## two writers, a replicator and a collector, killed at random, on a folder and on SeaweedFS: MINUTES=10 each
	@tools/setup dev
	$(BIN)/python -m tests.recovery.campaigns.traffic --minutes $(or $(MINUTES),10) $(SEED)

campaign: ## 1,000 random damages to a vault with two sites: all found, all mended, losses told exactly
	@tools/setup dev
	$(BIN)/python -m tests.recovery.campaigns.repair $(or $(DAMAGES),1000) $(SEED)

bench-stall: ## how long training stands still for a save, beside torch.save, DCP and a bare copy: BENCH="--size large --rounds 9"
	@tools/setup dev
	$(BIN)/python -m benchmarks.stall --docs docs/training.md $(BENCH)

bench-training: ## bytes and time of 50 successive checkpoints (AdamW, LoRA, bf16), beside torch.save and DCP; with a plot
	@tools/setup dev
	$(BIN)/python -m benchmarks.checkpoints50 --docs docs/training.md $(BENCH)

bench-bit-flips: ## a bit flipped at each of 200 places: what dcp.load makes of it, from files and from a vault; a minute
	@tools/setup dev
	$(BIN)/python -m benchmarks.bit_flips --places 200 > benchmarks/results/bit_flips.json

bench-shipping: ## bytes that reach another site for 20 successive checkpoints, beside rclone and restic; some minutes
	$(BIN)/python -m benchmarks.shipping --checkpoints 20 --warm 300 > benchmarks/results/shipping.json

drills: ## every scenario on copies of a declared asset, and everything that can be planted; some minutes
	@tools/setup dev
	HOLDFAST_ALL_DRILLS=1 $(BIN)/pytest -q tests/recovery/test_drill_scenarios.py tests/cli/test_cli_drill.py

drill-networks: ## sites that are cut off over lines of 200 ms, 2 % loss and 10 Mbit, whole copies and stripes; as root, some minutes
	@tools/setup dev
	HOLDFAST_DRILL_NETWORKS=1 $(BIN)/pytest -q tests/recovery/test_partitions.py tests/recovery/test_striped_partitions.py

drill-ransomware: ## stolen credentials destroy all they can, on SeaweedFS and moto; with locks it all comes back: DRILL=…
	@tools/setup dev
	$(BIN)/python -m holdfast.drills.ransomware $(DRILL)

drill-slurm: ## train-exec under a real Slurm: a time limit, a lost node, a preemption; as root, some minutes
	@tools/setup dev
	HOLDFAST_DRILL_SLURM=1 $(BIN)/pytest -q tests/integration/test_slurm.py

drill-systemd: ## packaging/holdfast.service started by a real systemd, in namespaces of its own; as root
	@tools/setup dev
	HOLDFAST_SYSTEMD=1 $(BIN)/pytest -q tests/web/test_systemd_unit.py

mutations: ## take each guard of docs/threat-model.md away: its test must fail then; some minutes: ROWS="W3 …"
	@tools/setup dev
	$(BIN)/python -m tests.mutations $(ROWS)

clean: ## remove what the targets made
	rm -rf .venv .bench-venv .examples-venv node_modules demo-out build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
