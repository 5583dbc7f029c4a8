"""Keys that a cloud's key management service holds: it wraps and unwraps small keys, and never shows its own."""
