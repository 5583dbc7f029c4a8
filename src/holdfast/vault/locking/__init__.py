"""Snapshots that whoever may write to the store cannot destroy: what is locked, until when, and how to go back."""
