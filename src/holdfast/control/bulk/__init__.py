"""Bulk work on many machines: verbs of a vault cut into pieces, and who does them."""
