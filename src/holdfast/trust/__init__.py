"""Keys and signatures: sealing, blob ciphers, hybrid signatures, recipients, credentials and where they are kept."""
