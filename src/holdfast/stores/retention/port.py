"""What a store may offer beyond the contract: objects that cannot be destroyed before a time, and their older versions.

An optional capability: `locks_of(store)` is None for a store that has none (a local folder cannot lock anything).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import NamedTuple, Protocol

from holdfast.errors import HoldfastError, PermissionDeniedError, UsageError
from holdfast.stores.protocol import Store
from holdfast.units import parse_duration

__all__ = [
    "Mode",
    "Retention",
    "Period",
    "Version",
    "LockSupport",
    "Retained",
    "ObjectLocks",
    "locks_of",
    "parse_period",
    "retain_all",
]

NANOSECONDS = 1_000_000_000
_DAY_S = 86_400
_PERIOD = re.compile(r"([^:]+)(?::(governance|compliance))?")
_YEAR_NS = 366 * _DAY_S * NANOSECONDS
_LAST_SECOND = 253_402_300_799
_PERIOD_MAX_S = 100 * 365.25 * _DAY_S  # S3's own limit


class Mode(Enum):
    """How strict a lock is. GOVERNANCE: who has a special permission of the cloud may end it early (S3
    `BypassGovernanceRetention`; Azure and GCS: the policy is `Unlocked`). COMPLIANCE: nobody may, the account's owner
    included (Azure and GCS: `Locked`).
    """

    GOVERNANCE = "governance"
    COMPLIANCE = "compliance"


class Retention(NamedTuple):
    """Until when one version of an object is kept, by the store's clock (ns since the epoch), and how strictly."""

    mode: Mode
    until_ns: int


class Period(NamedTuple):
    """For how long to lock what is written."""

    seconds: float
    mode: Mode = Mode.GOVERNANCE

    @property
    def nanoseconds(self) -> int:
        return round(self.seconds * NANOSECONDS)


class Version(NamedTuple):
    """One version of an object. `version`: the store's name for it. `is_current`: reading the key gives this one.

    `is_marker`: it says that the object was deleted then, and has no content.
    """

    key: str
    version: str
    size: int
    modified_ns: int
    is_current: bool
    is_marker: bool = False


class LockSupport(NamedTuple):
    """What a bucket offers. `reason`: why nothing can be locked there, empty where it can. `default`: what each new
    object gets by itself. `notes`: settings of the bucket that an owner should know of, a sentence each.
    """

    reason: str
    default: Period | None = None
    notes: tuple[str, ...] = ()


class Retained(NamedTuple):
    """What became of one object: the version that is locked and until when, or the error."""

    key: str
    version: str
    retention: Retention | None
    error: HoldfastError | None = None


class ObjectLocks(Protocol):
    """The locks of one store. Keys are those of the store, times those of its clock. Safe for several threads.

    Errors are those of `Store`; PermissionDeniedError also for what a lock forbids.
    """

    def support(self) -> LockSupport:
        """Whether, and how, this bucket locks. One or a few requests."""
        ...

    def now_ns(self) -> int:
        """The store's time, to a second."""
        ...

    def retain(self, key: str, retention: Retention, version: str = "") -> Retained:
        """Keep a version of the object (by default the current one) at least until then. Raises what went wrong.

        Never shortens, never weakens: a lock that is longer or stricter stays as it is, and is returned.
        """
        ...

    def retention_of(self, key: str, version: str = "") -> Retention | None:
        """The lock of a version, None for none. Raises ObjectNotFoundError."""
        ...

    def legal_hold(self, key: str, on: bool, version: str = "") -> None:
        """Keep a version until the hold is taken off, whatever its retention says."""
        ...

    def versions(self, prefix: str) -> Iterator[Version]:
        """All versions of all objects whose keys begin so: by key, the newest first; deleted ones, too."""
        ...

    def read_version(self, key: str, version: str, span: tuple[int, int] | None = None) -> bytes:
        """The content of one version, or of it `span`: (start, length), not empty; less where the object ends.

        Raises ObjectNotFoundError.
        """
        ...

    def restore_version(self, version: Version) -> None:
        """Make the content of an older version the current one again. What was current stays as a version."""
        ...


def locks_of(store: Store) -> ObjectLocks | None:
    """The locks of a store that has some: its attribute `locks`. A store that wraps another one may pass them on."""
    found: ObjectLocks | None = getattr(store, "locks", None)
    return found


def parse_period(text: str) -> Period:
    """`30d`, `30d:compliance` → a period; `governance` unless told otherwise. Raises UsageError."""
    match = _PERIOD.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{text!r} is no lock", hint="write a duration and a mode: 30d, 30d:governance, 90d:compliance"
        )
    seconds = parse_duration(match[1])
    if not 1 <= seconds <= _PERIOD_MAX_S:
        raise UsageError(f"a lock of {match[1]} makes no sense", hint="from one second (for tests) to 100 years")
    return Period(seconds, Mode(match[2]) if match[2] else Mode.GOVERNANCE)


def satisfies(found: Retention | None, wanted: Retention) -> bool:
    """Whether a lock is at least as long and as strict as the wanted one."""
    if found is None or found.until_ns < wanted.until_ns:
        return False
    return found.mode is Mode.COMPLIANCE or wanted.mode is Mode.GOVERNANCE


def stricter(found: Retention | None, wanted: Retention, key: str = "") -> Retention:
    """The lock to set so that neither what is there nor what is wanted is undercut.

    Raises PermissionDeniedError where a governance lock lasts so much longer than the wanted one of compliance that
    somebody else must have set it: no store lets it be cut, and nobody asked for that end to be irrevocable.
    """
    if found is None:
        return wanted
    if wanted.mode is Mode.COMPLIANCE and found.mode is Mode.GOVERNANCE and found.until_ns > wanted.until_ns + _YEAR_NS:
        raise PermissionDeniedError(
            f"{key} stays locked in governance mode: its lock ends more than a year after the one of compliance that "
            "is asked for, and would become irrevocable",
            hint="find out who locked it for so long; whoever may bypass governance can cut that lock",
            object_name=key,
        )
    mode = Mode.COMPLIANCE if Mode.COMPLIANCE in (found.mode, wanted.mode) else Mode.GOVERNANCE
    return Retention(mode, max(found.until_ns, wanted.until_ns))


def whole_seconds(until_ns: int) -> int:
    """The end of a lock as services keep it, rounded up; the year 9999 is as far as their calendars go."""
    return min(-(-until_ns // NANOSECONDS), _LAST_SECOND)


def retain_all(
    locks: ObjectLocks, keys: Collection[str] | Iterable[str], retention: Retention, *, workers: int = 16
) -> list[Retained]:
    """Lock the current versions of many objects, several at a time. Errors are in the answers, none is raised."""

    def one(key: str) -> Retained:
        try:
            return locks.retain(key, retention)
        except HoldfastError as error:
            return Retained(key, "", None, error)

    with ThreadPoolExecutor(workers, thread_name_prefix="holdfast-locks") as pool:
        return list(pool.map(one, keys))
