"""Webhooks out: what happened is found at the stores, submitted to the queue of work, and sent from there."""
