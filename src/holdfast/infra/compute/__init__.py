"""Machines behind one port: slots of this machine, nodes of a Slurm partition (docs/compute.md)."""
