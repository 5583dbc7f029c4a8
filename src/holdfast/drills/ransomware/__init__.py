"""A rehearsal of ransomware: everything that stolen credentials can do is done, and the owner goes back to before."""
