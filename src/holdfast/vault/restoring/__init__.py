"""Out of the vault: chunks to bytes, bytes to files."""
