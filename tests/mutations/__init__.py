"""Does each test behind docs/threat-model.md fail when the guard that it shows is taken away? See `__main__.py`."""
