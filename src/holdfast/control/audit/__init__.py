"""The audit log of a vault: found, written to by every verb, verified, witnessed; its keys on this machine."""
