"""An experiment as it is read: only what is known is in it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = ["Activity", "Experiment", "Http", "Process", "Provider", "Python", "Tolerance"]

Kind = Literal["probe", "action"]
Scalar = str | int | float | bool | None


class Process(msgspec.Struct, frozen=True, kw_only=True, tag="process"):
    """`arguments`: a list as it is; a mapping becomes `--name value`, as there. No shell is in between."""

    path: str
    arguments: tuple[str, ...] = ()
    timeout: float = 60.0


class Http(msgspec.Struct, frozen=True, kw_only=True, tag="http"):
    """`arguments`: the body; a mapping of JSON, or text."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = {}
    expected_status: int | None = None
    arguments: Any = None
    timeout: float = 30.0


class Python(msgspec.Struct, frozen=True, kw_only=True, tag="python"):
    """A function of a module, called in a process of its own, with JSON in and out."""

    module: str
    func: str
    arguments: dict[str, Any] = {}
    timeout: float = 60.0


Provider = Process | Http | Python


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe of the steady state has to return. `kind`: `equal` (to `value`), `any of` (`values`), `range`
    (`lower` to `upper`), `regex` (`pattern`), `jsonpath` (a plain path; `value` or at least one), `probe` (`probe`).
    `target`: of what is returned: empty: all of it, else `body`, `status`, `stdout`, `stderr`.
    """

    kind: Literal["equal", "any of", "range", "regex", "jsonpath", "probe"]
    value: Any = None
    values: tuple[Any, ...] = ()
    lower: float = 0.0
    upper: float = 0.0
    pattern: str = ""
    target: str = ""
    probe: Activity | None = None


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """A probe or an action. `before`, `after`: seconds to wait (`pauses`). `background`: it is not waited for.
    `raw`: as it stands in the file, for the journal.
    """

    kind: Kind
    name: str
    provider: Provider
    tolerance: Tolerance | None = None
    before: float = 0.0
    after: float = 0.0
    background: bool = False
    raw: dict[str, Any] = {}


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """`hypothesis`: its title; `steady`: its probes, each with a tolerance; `rollback_always`: also after a method that
    was aborted (`runtime.rollbacks.strategy: always`). `raw`: the whole file.
    """

    title: str
    description: str = ""
    hypothesis: str = ""
    steady: tuple[Activity, ...] = ()
    method: tuple[Activity, ...] = ()
    rollbacks: tuple[Activity, ...] = ()
    rollback_strategy: Literal["default", "always", "never", "deviated"] = "default"
    raw: dict[str, Any] = {}
