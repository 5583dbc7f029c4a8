"""Recoveries of what `holdfast.yaml` declares: probed, planned, approved, run, adopted; evidence in their journals."""
