"""Tiers: which snapshots lie on which stores. `planning` decides (pure), `moving` carries out."""
