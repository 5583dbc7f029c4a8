"""Keys of a vault on this machine, and who else can open it."""
