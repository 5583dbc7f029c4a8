"""Incidents at the stores: observed, told, ended; and the runs that a policy lets begin by themselves."""
