"""Snapshots: what a save or restore would do, files of theirs, folders that are watched."""
