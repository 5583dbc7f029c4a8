"""Stripes over sites: what they cost in bytes and in time. A program of its own: `benchmarks/stripes.py`."""

from __future__ import annotations

import json
import sys
from typing import Any

from ..measuring import Word, run
from .context import Context

__all__ = ["stripes"]


def stripes(context: Context) -> dict[str, Any]:
    """2+1 and 4+2: bytes stored, speeds with and without lost sites, bytes read for 4 MiB."""
    command: list[Word] = [sys.executable, "-m", "benchmarks.stripes", "--json"]
    command += ["--packs", "2" if context.quick else "8", "--rounds", str(context.rounds)]
    if context.setting.disk is not None:
        command += ["--folder", context.setting.disk]
    found: dict[str, Any] = json.loads(run(command, env=context.setting.environment()).output)
    return found
