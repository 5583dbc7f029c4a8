"""A simulated year of tiers: what it costs, and whether any RTO was ever broken. `python -m benchmarks.tiers`."""
