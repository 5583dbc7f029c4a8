"""Drills of declared recoveries: planned, run against a fault, measured, cleaned up."""
