"""The server's log: one JSON object a line on stderr, with the ids of requests and runs, and without secrets."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any, Final

from holdfast.clock import to_rfc3339

__all__ = ["begin_log", "scrubbed"]

# API keys, tokens of devices, JWTs, what follows `Bearer`, and secrets within addresses.
_SECRETS: Final = re.compile(
    r"hf[kt]_[A-Za-z0-9_-]{8,}|ey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*|(?i:bearer)\s+\S+|//[^/\s:@]*:[^/\s@]+@"
)


def scrubbed(text: str) -> str:
    """The same without what looks like a secret."""
    return _SECRETS.sub("(secret)", text)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts: Any = getattr(record, "facts", None)
        line: dict[str, Any] = {
            "at": to_rfc3339(int(record.created * 1e9)),
            "level": record.levelname.lower(),
            "what": record.getMessage(),
            "from": record.name,
        }
        if isinstance(facts, dict):
            line |= {f"{name}_" if name in line else name: value for name, value in facts.items()}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__  # never its text: it may hold anything
        return json.dumps(_clean(line), ensure_ascii=True)


def _clean(value: Any) -> Any:
    """Each text by itself: what is cut out of a line of JSON would take its quotes along."""
    if isinstance(value, dict):
        return {scrubbed(str(name)): _clean(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(one) for one in value]
    return value if value is None or isinstance(value, (bool, int, float)) else scrubbed(str(value))


def begin_log(*, quiet: bool = False) -> None:
    """From now on for this process. `quiet`: warnings and errors only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("holdfast", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING if quiet else logging.INFO)
