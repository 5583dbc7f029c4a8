"""Lines measured: limits kept, overtaking, long distances, processor time. `python -m benchmarks.network`."""
