"""Object locks: what a store keeps although somebody who may write to it deletes or overwrites it."""
