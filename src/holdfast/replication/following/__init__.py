"""Keeping the stores of several sites alike: looking, planning, copying round by round, and what is exposed."""
