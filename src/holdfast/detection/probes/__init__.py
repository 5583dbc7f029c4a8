"""Looks at things: each asks once, within its time, changes nothing that stays, and says what it saw."""
