"""Experiments in the format of Chaos Toolkit: read, run, and journals of them written. The format, not its package.

Source: https://chaostoolkit.org/reference/api/experiment/ and …/journal/ (version 0.1.0 of the specification).
"""
