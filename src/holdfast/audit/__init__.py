"""A log that nobody can rewrite unseen: a Merkle tree on any store, signed, witnessed by the other sites."""
