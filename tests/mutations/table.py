"""All guards, row by row."""

from __future__ import annotations

from . import authority_guards, log_guards, member_guards, store_guards

__all__ = ["GUARDS"]

GUARDS = [*store_guards.GUARDS, *member_guards.GUARDS, *log_guards.GUARDS, *authority_guards.GUARDS]
