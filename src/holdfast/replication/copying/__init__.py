"""Copies of a vault at another store: planned, sent object by object, and known to have arrived."""
