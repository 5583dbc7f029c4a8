"""Adapters of the ports that recovery declares: machines, services, commands of other tools."""
