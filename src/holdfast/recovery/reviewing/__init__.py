"""Whether a plan may be run now: refusals with reasons. Pure."""
