"""Retention: facts from the vault, a plan, and carrying it out. The judgement is `holdfast.objectives.retention`."""
