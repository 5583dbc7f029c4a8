"""Vault format 1: the bytes of every object, and the keys that seal and sign them. Specified in `docs/format/`."""
