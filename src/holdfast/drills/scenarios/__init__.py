"""What can be broken on purpose: a scenario breaks, sees that it is broken, recovers, and takes back what it broke."""
