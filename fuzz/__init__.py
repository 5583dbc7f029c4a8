"""Fuzzing: every parser and decoder of stored or outside bytes, one target each. See `docs/fuzzing.md`.

`python -m fuzz` runs a campaign; `fuzz.targets.TARGETS` lists what there is.
"""
