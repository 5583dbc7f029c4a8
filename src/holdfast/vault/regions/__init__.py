"""Regions of a file: what its bytes are, where its tensors lie, and how it is cut into chunks."""
