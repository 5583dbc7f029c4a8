"""A training state as files that anybody can read: tensors in safetensors, everything else in JSON. No pickle."""
