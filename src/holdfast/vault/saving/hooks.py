"""Checks of the user's own: functions that look at a snapshot before it is committed, and say what they find.

A check comes with the call (`Vault.save(..., checks=[…])`) or is installed: an entry point of the group
`holdfast.validation`. It sees copies, never the records that are saved. What it raises is a finding, not a failed save.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from holdfast.errors import UsageError
from holdfast.vault.format.records import Entry, Finding, TensorRecord

__all__ = ["ENTRY_POINTS", "SavedTensor", "SavedFile", "SaveView", "SaveCheck"]
__all__ += ["checked_checks", "view_of", "run_checks"]

ENTRY_POINTS = "holdfast.validation"
_FINDINGS_MAX = 50  # of one check
_TEXT_MAX = 2000


class SavedTensor(NamedTuple):
    """A tensor and its statistics (see `TensorStatistics`); None is unknown."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    norm: float | None
    nonfinite: int
    least: float | None
    greatest: float | None
    zeros: int | None


class SavedFile(NamedTuple):
    """A file; `tensors` by name."""

    path: bytes
    size: int
    format: str
    tensors: Mapping[str, SavedTensor]


class SaveView(NamedTuple):
    """What a check sees: the files of the snapshot and of its parent (empty: there is none) by path, what was said."""

    asset: str
    step: int | None
    files: Mapping[bytes, SavedFile]
    parent_files: Mapping[bytes, SavedFile]
    metrics: Mapping[str, float]
    metadata: Mapping[str, str]


SaveCheck: TypeAlias = Callable[[SaveView], Iterable[Finding] | None]


def checked_checks(given: Any) -> tuple[SaveCheck, ...]:
    """Checks as a caller gave them. Raises UsageError."""
    if given is None:
        return ()
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence) or not all(map(callable, given)):
        raise UsageError("checks are a list of functions", hint="write checks=[my_check]")
    return tuple(given)


def view_of(
    asset: str,
    step: int | None,
    files: Iterable[Entry],
    parent_files: Iterable[Entry],
    metrics: Mapping[str, float],
    metadata: Mapping[str, str],
) -> SaveView:
    """The view of a snapshot about to be committed."""
    return SaveView(
        asset,
        step,
        _by_path(files),
        _by_path(parent_files),
        MappingProxyType(dict(metrics)),
        MappingProxyType(dict(metadata)),
    )


def run_checks(given: Sequence[SaveCheck], make_view: Callable[[], SaveView]) -> tuple[list[str], list[Finding]]:
    """The names of the checks that ran, those installed first, and what they found."""
    installed, failed = _installed()
    checks = [*installed, *((_name_of(check), check) for check in given)]
    findings = [Finding("check-failed", name, message) for name, message in failed]
    if checks:
        view = make_view()
        for name, check in checks:
            findings.extend(_run(name, check, view))
    return [name for name, _ in checks], findings


def _run(name: str, check: SaveCheck, view: SaveView) -> list[Finding]:
    found: list[Finding] = []
    try:
        returned: Iterable[Any] = check(view) or ()
        for one in returned:
            if not isinstance(one, Finding):
                raise TypeError(f"a check returns findings, not {type(one).__name__}")
            found.append(Finding(_text(one.check), _text(one.where), _text(one.message)))
            if len(found) == _FINDINGS_MAX:
                break
    # Whatever it is: a check of the user's must not cost him the snapshot, nor (`sys.exit`) end a training run.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        found.append(Finding("check-failed", name, f"the check raised {_told(error)}"))
    return found


@lru_cache(maxsize=1)
def _installed() -> tuple[tuple[tuple[str, SaveCheck], ...], tuple[tuple[str, str], ...]]:
    """(name, check) of what is installed, and (name, what is wrong) of what cannot be loaded."""
    checks: list[tuple[str, SaveCheck]] = []
    failed: list[tuple[str, str]] = []
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        try:
            check = point.load()
            if not callable(check):
                raise TypeError(f"{point.value} is no function")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, of the plugin's import
            failed.append((_text(point.name), f"the check cannot be loaded: {_told(error)}"))
        else:
            checks.append((_text(point.name), check))
    return tuple(checks), tuple(failed)


def _name_of(check: SaveCheck) -> str:
    try:
        return _text(getattr(check, "__name__", type(check).__name__))
    except Exception:  # noqa: BLE001 - an object that computes its name
        return _text(type(check).__name__)


def _by_path(entries: Iterable[Entry]) -> Mapping[bytes, SavedFile]:
    files = {
        entry.path: SavedFile(
            entry.path,
            entry.size,
            entry.format,
            MappingProxyType({tensor.name: _tensor(tensor) for tensor in entry.tensors}),
        )
        for entry in entries
    }
    return MappingProxyType(files)


def _tensor(tensor: TensorRecord) -> SavedTensor:
    return SavedTensor(
        tensor.name,
        tensor.dtype,
        tuple(tensor.shape),
        tensor.bytes,
        tensor.norm,
        tensor.nonfinite,
        tensor.least,
        tensor.greatest,
        tensor.zeros,
    )


def _told(error: BaseException) -> str:
    try:
        return _text(f"{type(error).__name__}: {error}")
    except Exception:  # noqa: BLE001 - it cannot even say what it is
        return _text(type(error).__name__)


def _text(value: Any) -> str:
    return str(value)[:_TEXT_MAX].encode("utf-8", "replace").decode()
