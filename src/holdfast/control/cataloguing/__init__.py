"""Filling the catalog: what the sites declared in holdfast.yaml hold, read with the keys of their vaults."""
