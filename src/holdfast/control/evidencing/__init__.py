"""Evidence of runs: gathered from journals and logs, written, kept at the stores."""
