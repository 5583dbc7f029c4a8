"""What was noticed, kept at the stores; who is told; what begins by itself."""
