"""Where a user's programs keep what is theirs: the XDG base directories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["state_home", "cache_home"]


def state_home(environment: Mapping[str, str]) -> Path | None:
    """`$XDG_STATE_HOME`, by default `~/.local/state`; None for a user without a home."""
    return _home(environment, "XDG_STATE_HOME", ".local/state")


def cache_home(environment: Mapping[str, str]) -> Path | None:
    """`$XDG_CACHE_HOME`, by default `~/.cache`; None for a user without a home."""
    return _home(environment, "XDG_CACHE_HOME", ".cache")


def _home(environment: Mapping[str, str], variable: str, below: str) -> Path | None:
    given = Path(environment.get(variable) or "")
    if given.is_absolute():  # the specification: anything else is to be ignored
        return given
    try:
        home = Path(environment.get("HOME") or Path.home())
    except RuntimeError:
        return None
    return home / below if home.is_absolute() else None
