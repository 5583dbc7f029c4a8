"""Snapshots as things with names: finding, pointing, comparing, dropping."""
