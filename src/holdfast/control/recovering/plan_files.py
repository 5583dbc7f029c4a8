"""A plan as a file between `recover plan` and `recover run`: the plan, where its journal lies, and so which run it is.

The id of the run follows from the plan's hash and the stores of its journal: whoever approves or runs the same file
means the same run, and a plan is run once.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, Literal

import msgspec

from holdfast.errors import FailedError, HoldfastError, NotFoundError, UsageError
from holdfast.recovery.plans import Plan, plan_hash, require_rules

__all__ = ["RUN_DIGITS", "PlanFile"]
__all__ += ["decode_plan_file", "encode_plan_file", "is_run_id", "plan_file", "read_plan_file", "run_id"]

_BYTES_MAX: Final = 8 << 20
RUN_DIGITS: Final = 20
_HINT: Final = "`holdfast recover plan NAME --out FILE` makes one"


class PlanFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`journal`: stores in the order of the journal. `target`: where to restore to; empty: who runs it says so."""

    version: Literal[1] = 1
    run: str
    journal: tuple[str, ...]
    target: str = ""
    plan: Plan


def run_id(plan: Plan, journal: tuple[str, ...]) -> str:
    """20 hex digits."""
    text = "\0".join(("holdfast run", plan_hash(plan), *journal))
    return hashlib.sha256(text.encode()).hexdigest()[:RUN_DIGITS]


def is_run_id(text: str) -> bool:
    return len(text) == RUN_DIGITS and not text.strip("0123456789abcdef")


def plan_file(plan: Plan, journal: tuple[str, ...], target: str = "") -> PlanFile:
    return PlanFile(run=run_id(plan, journal), journal=journal, target=target, plan=plan)


def encode_plan_file(file: PlanFile) -> bytes:
    """JSON that a person can read."""
    return msgspec.json.format(msgspec.json.encode(file, order="sorted"), indent=2) + b"\n"


def decode_plan_file(data: bytes, name: str) -> PlanFile:
    """Raises UsageError for anything but a plan that a planner of this version could have written."""
    try:
        file = msgspec.json.decode(data, type=PlanFile)
        require_rules(file.plan)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{name} is no plan of a recovery ({error})", hint=_HINT, object_name=name) from error
    except HoldfastError as error:
        raise UsageError(f"{name} holds a plan that cannot be ({error.message})", hint=_HINT) from error
    try:
        sound = file.run == run_id(file.plan, file.journal)
    except UnicodeEncodeError:
        sound = False
    if not sound:
        raise UsageError(
            f"{name} was altered: its run is not the one of its plan and its journal",
            hint="plan again; nobody's approval would count for an altered plan",
            object_name=name,
        )
    return file


def read_plan_file(path: Path) -> PlanFile:
    """Raises NotFoundError, FailedError, UsageError."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no plan {path}", hint=_HINT, object_name=str(path)) from error
    except OSError as error:
        raise FailedError(f"{path} cannot be read ({error.strerror})", object_name=str(path)) from error
    if len(data) > _BYTES_MAX:
        raise UsageError(f"{path} is larger than any plan", hint=_HINT, object_name=str(path))
    return decode_plan_file(data, str(path))
