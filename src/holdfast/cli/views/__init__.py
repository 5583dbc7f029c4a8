"""From outputs to lines for a person, at most as wide as the terminal."""
