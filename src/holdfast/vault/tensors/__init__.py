"""Arrays in, arrays out: saving a state dict without files, and reading single tensors of a snapshot."""
