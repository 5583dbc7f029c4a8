"""Lines to sites: limits by the time of day, priorities, marks on packets, several ways; see docs/network.md."""
