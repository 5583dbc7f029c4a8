"""Asking a server instead of the stores: the client's side of docs/api.md."""
