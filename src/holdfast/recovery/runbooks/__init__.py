"""Runbooks: steps that people add to a plan, as YAML. What comes of it is a plan like any other, with its rules."""
