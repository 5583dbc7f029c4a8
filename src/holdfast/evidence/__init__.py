"""The record of a run: measured from its journal, signed, shown, verified by strangers (docs/evidence.md)."""
