"""Gathering the circumstances of a run: what cannot change while it runs once, the rest with every save.

Nothing here fails a save: what cannot be gathered is told in `missing`, with the reason.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from holdfast.clock import SYSTEM_CLOCK, Clock, to_rfc3339
from holdfast.errors import HoldfastError
from holdfast.training.circumstances.code import code_at, code_folder
from holdfast.training.circumstances.datasets import dataset_version
from holdfast.training.circumstances.digests import digests
from holdfast.training.circumstances.environment import environment_here, packages_here
from holdfast.training.circumstances.hyperparameters import flattened
from holdfast.training.circumstances.layout import layout_here
from holdfast.training.circumstances.model import FILE_NAME, LARGEST, Circumstances, Code, Dataset, encoded
from holdfast.training.circumstances.resuming import ResumeState
from holdfast.training.circumstances.scrubbing import scrubbed

__all__ = ["Gatherer", "Gathered", "gather"]

_WAIT_SECONDS = 10.0  # data may take longer to read than a save should wait

T = TypeVar("T")


class Gathered(NamedTuple):
    """Ready for a snapshot: `files` go into it by these names, `versions` into its root."""

    circumstances: Circumstances
    files: dict[str, bytes]
    versions: dict[str, str]


class Gatherer:
    """The circumstances of this run. Made when the run begins: code and packages are those that it has loaded.

    Packages, code and datasets are looked at once, by a thread of its own; the first save waits for it, for ten seconds
    at most. What is not known then is in later snapshots.
    """

    def __init__(
        self,
        *,
        resume: ResumeState | None = None,
        hyperparameters: Any = None,
        datasets: Mapping[str, Any] | None = None,
        layout: Any = None,
        code: str | os.PathLike[str] | None = None,
        variables: Mapping[str, str] = os.environ,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`hyperparameters`: a mapping, a dataclass, or an object with `to_dict()` (a `TrainingArguments`), looked at
        with every save. `datasets`: name → as for `dataset_version`. `layout`: a `DeviceMesh` or `{"dp": 4}`. `code`:
        a folder in the working tree; by default that of the program's main file.
        """
        self._resume, self._hyperparameters, self._layout = resume, hyperparameters, layout
        self._variables, self._clock = dict(variables), clock
        self._datasets = {str(name): what for name, what in (datasets or {}).items()}
        self._code = Path(code) if code is not None else None
        self._packages: dict[str, str] = {}
        self._revision: Code | None = None
        self._versions: dict[str, Dataset] = {}
        self._missing: dict[str, str] = {}
        self._waited = False
        self._thread = threading.Thread(target=self._look, name="holdfast-circumstances", daemon=True)
        self._thread.start()

    def gather(self, step: int | None = None) -> Gathered:
        """As of now. Takes some milliseconds. Raises nothing."""
        self._thread.join(0.0 if self._waited else _WAIT_SECONDS)  # data on a store that hangs cost one save, not all
        self._waited = True
        missing = dict(self._missing)
        if self._thread.is_alive():
            later = [f"dataset {name}" for name in self._datasets if name not in self._versions]
            later += [name for name, one in (("packages", self._packages), ("code", self._revision)) if not one]
            missing |= {name: "still being looked at when this was saved" for name in later if name not in missing}
        found = Circumstances(
            gathered=to_rfc3339(self._clock.now_ns()),
            step=step,
            code=self._revision,
            packages=self._packages,
            environment=_or(missing, "environment", lambda: environment_here(self._variables), None),
            layout=_or(missing, "layout", lambda: layout_here(self._layout, self._variables), None),
            datasets=dict(self._versions),
            hyperparameters=_or(missing, "hyperparameters", lambda: flattened(self._hyperparameters), {}),
            states=_or(missing, "resume", self._resume.described, {}) if self._resume is not None else {},
            missing=missing,
        )
        return gathered(found)

    def _look(self) -> None:
        missing = self._missing
        nothing: dict[str, str] = {}
        self._packages = _or(missing, "packages", packages_here, nothing)
        folder = self._code or code_folder()
        self._revision = _or(missing, "code", lambda: code_at(folder, environment=self._variables), None)
        for name, what in self._datasets.items():
            one = _version(missing, name, what, self._clock)
            if one is not None:
                self._versions[name] = one


def gather(step: int | None = None, **what: Any) -> Gathered:
    """In one call, as `Gatherer` with the same names: for programs that save once."""
    return Gatherer(**what).gather(step)


def gathered(circumstances: Circumstances) -> Gathered:
    """The file and the lines. A file that would be too large does without its diff, then without hyperparameters."""
    data = encoded(circumstances)
    if len(data) > LARGEST and circumstances.code is not None:
        code = msgspec.structs.replace(circumstances.code, diff="", diff_cut=True)
        circumstances = msgspec.structs.replace(circumstances, code=code)
        data = encoded(circumstances)
    if len(data) > LARGEST:
        missing = {**circumstances.missing, "hyperparameters": "too large"}
        circumstances = msgspec.structs.replace(circumstances, hyperparameters={}, missing=missing)
        data = encoded(circumstances)
    return Gathered(circumstances, {FILE_NAME: data}, digests(circumstances))


def _version(missing: dict[str, str], name: str, what: Any, clock: Clock) -> Dataset | None:
    return _or(missing, f"dataset {name}", lambda: dataset_version(what, clock=clock), None)


def _or(missing: dict[str, str], name: str, ask: Callable[[], T], default: T) -> T:
    """What it answers; the default where it fails, and why in `missing`."""
    try:
        return ask()
    except HoldfastError as error:
        missing[name] = scrubbed(error.message)
    except Exception as error:  # noqa: BLE001 - objects of the user's frameworks may raise anything, and no save fails
        missing[name] = f"{type(error).__name__} was raised"
    return default
