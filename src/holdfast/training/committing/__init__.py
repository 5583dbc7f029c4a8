"""Saving from many ranks: each stores and announces its own share, and whoever sees all of them makes the snapshot."""
