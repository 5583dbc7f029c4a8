"""Hyperparameters, whatever object holds them, as a flat mapping of names to JSON."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast.errors import UsageError
from holdfast.training.circumstances.scrubbing import HIDDEN, is_secret_name, scrubbed

__all__ = ["flattened"]

_MOST = 10_000
_DEPTH = 12
_VALUE_MOST = 2_000


def flattened(given: Any) -> dict[str, str]:
    """`{"lr": 0.1, "model": {"layers": 2}}` → `{"lr": "0.1", "model.layers": "2"}`, sorted, secrets hidden.

    Mappings, dataclasses, and objects with `to_dict()` or (`argparse.Namespace`) attributes. What has no JSON is its
    `str`. Raises UsageError for anything else, or more than 10,000 values.
    """
    found: dict[str, str] = {}
    if given is not None:
        _add(found, "", _mapping(given, top=True), 0)
    return dict(sorted(found.items()))


def _mapping(given: Any, *, top: bool = False) -> Any:
    if isinstance(given, Mapping):
        return given
    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        return {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    to_dict = getattr(given, "to_dict", None)
    if callable(to_dict):
        return to_dict()
    if top and hasattr(given, "__dict__"):
        return vars(given)
    if top:
        raise UsageError(f"a {type(given).__name__} holds no hyperparameters", hint="hand in a mapping")
    return given


def _add(found: dict[str, str], name: str, value: Any, depth: int) -> None:
    value = _mapping(value)
    if isinstance(value, Mapping) and depth < _DEPTH:
        for key, inner in value.items():
            _add(found, f"{name}.{key}" if name else str(key), inner, depth + 1)
        return
    if len(found) >= _MOST:
        raise UsageError(f"more than {_MOST:,} hyperparameters")
    found[name] = HIDDEN if _is_secret(name) else scrubbed(_json(value))[:_VALUE_MOST]


def _is_secret(name: str) -> bool:
    """By its own name, or by that of what it lies in: `credentials.user`; but `tokens.most` is a count."""
    *around, own = name.split(".")
    return is_secret_name(own) or any(is_secret_name(one) for one in around if one.lower() not in ("token", "tokens"))


def _json(value: Any) -> str:
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        return msgspec.json.encode(value, order="deterministic", enc_hook=str).decode()
    except (TypeError, ValueError, OverflowError, RecursionError, UnicodeError, msgspec.MsgspecError):
        return msgspec.json.encode(ascii(str(value))).decode()
