"""The results file: raw figures as JSON, written after each case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["SCHEMA", "write_results", "read_results", "errors_in"]

SCHEMA = "holdfast-benchmarks-1"


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Replace the file in one step: an interrupted run leaves the last whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(_rounded(results), indent=1, sort_keys=False) + "\n")
    new.replace(path)


def read_results(path: Path) -> dict[str, Any]:
    """Raises ValueError if it is not a results file."""
    results = json.loads(path.read_text())
    if not isinstance(results, dict) or results.get("schema") != SCHEMA:
        raise ValueError(f"{path} is not a results file of this version ({SCHEMA})")
    return results


def errors_in(found: Any, where: str = "") -> list[str]:
    """All errors that cases have noted, each with its place."""
    if isinstance(found, dict):
        told = [f"{where}: {line}" for line in found.get("errors", [])]
        return told + [line for key, value in found.items() for line in errors_in(value, f"{where}/{key}".lstrip("/"))]
    return []


def _rounded(value: Any) -> Any:
    """Six digits behind the point: microseconds are enough, and the file stays readable."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
