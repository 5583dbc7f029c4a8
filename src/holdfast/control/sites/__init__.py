"""The sites of `holdfast.yaml`, wired to stores and keys: what they hold, what is exposed, and keeping them alike."""
