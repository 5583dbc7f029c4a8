"""What a user may say about a snapshot, checked before anything is read or stored."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from holdfast.errors import UsageError
from holdfast.vault.format.records import Root
from holdfast.vault.saving.hooks import SaveCheck, checked_checks
from holdfast.vault.saving.metrics import checked_metrics, metrics_as_meta
from holdfast.vault.saving.validation import NORM_JUMP, Policy

__all__ = ["SaveOptions", "save_options"]

_STEP_BITS = 63


class SaveOptions(NamedTuple):
    """`content_ns` defaults to the newest modification time in the source; with `verify` the snapshot is read back
    before any pointer moves to it. The metrics are in `meta`, too. `committed` is called with the root when it is
    committed and read back, before any pointer moves: what it raises, the save raises, and the pointers stay.
    """

    step: int | None = None
    meta: Mapping[str, str] = {}
    versions: Mapping[str, str] = {}
    tags: Sequence[str] = ()
    content_ns: int | None = None
    policy: Policy = Policy.WARN
    norm_jump: float = NORM_JUMP
    verify: bool = True
    metrics: Mapping[str, float] = {}
    checks: Sequence[SaveCheck] = ()
    committed: Callable[[Root], None] | None = None


def save_options(
    *,
    step: Any,
    metadata: Any,
    versions: Any,
    tags: Any,
    policy: Any,
    norm_jump: Any,
    verify: bool,
    metrics: Any = None,
    checks: Any = None,
    committed: Callable[[Root], None] | None = None,
) -> SaveOptions:
    """The options, as types that a record can hold. Raises UsageError: a snapshot with anything else in it could not
    be read again.
    """
    meta = {_text(key, "a metadata key"): _json_text(key, value) for key, value in _items(metadata, "metadata")}
    measured = checked_metrics(metrics)
    for key in metrics_as_meta(measured).keys() & meta.keys():
        raise UsageError(f"{key!r} is given as metadata and as a metric", hint="give one of them")
    return SaveOptions(
        step=_step(step),
        meta=meta | metrics_as_meta(measured),
        versions={
            _text(key, "the name of a version"): _text(value, f"the version of {key!r}")
            for key, value in _items(versions, "versions")
        },
        tags=_tags(tags),
        policy=_policy(policy),
        norm_jump=_norm_jump(norm_jump),
        verify=verify,
        metrics=measured,
        checks=checked_checks(checks),
        committed=committed,
    )


def _step(step: Any) -> int | None:
    if step is None:
        return None
    try:
        if isinstance(step, bool):
            raise TypeError
        number = operator.index(step)
    except TypeError as error:
        raise UsageError(f"a step is a whole number: {step!r} is not") from error
    if not -(1 << _STEP_BITS) <= number < 1 << _STEP_BITS:
        raise UsageError(f"a step has {_STEP_BITS + 1} bits with its sign; this one has more")
    return number


def _items(mapping: Any, what: str) -> list[tuple[Any, Any]]:
    if mapping is None:
        return []
    if not isinstance(mapping, Mapping):
        raise UsageError(f"{what} is a mapping of names to values, not a {type(mapping).__name__}")
    return list(mapping.items())


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{what} is text: {value!r} is not")
    text = str.__str__(value)  # of a subclass, a plain one
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} is valid text: {text!r} is not") from error
    return text


def _json_text(key: Any, value: Any) -> str:
    what = f"the metadata value of {key!r}"
    if isinstance(value, str):
        return _text(value, what)
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:  # a ValueError: lone surrogates, too
        raise UsageError(f"{what} is neither text nor JSON") from error


def _tags(tags: Any) -> tuple[str, ...]:
    if isinstance(tags, (str, bytes)) or not isinstance(tags, Sequence):
        raise UsageError("tags are a list of names, not one name", hint='write tags=["best"]')
    return tuple(_text(tag, "a tag") for tag in tags)


def _policy(policy: Any) -> Policy:
    try:
        return Policy(policy)
    except ValueError as error:
        raise UsageError(f"{policy!r} is not a policy", hint="warn, refuse or quarantine") from error


def _norm_jump(factor: Any) -> float:
    try:
        number = float(factor)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"norm_jump is a number: {factor!r} is not") from error
    if not number > 1:
        raise UsageError(f"norm_jump is a factor above 1, not {number}")
    return number
