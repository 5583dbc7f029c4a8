"""Inside the training loop: saving without a stall, every rank, any framework (design/008)."""
