"""Measurements of Holdfast beside other tools: `python -m benchmarks --help`."""
