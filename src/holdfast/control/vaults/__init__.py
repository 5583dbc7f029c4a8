"""Whole vaults: from a URL to an opened one, and what is done with all of it."""
