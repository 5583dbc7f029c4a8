"""What the use of a vault tells the planner of tiers: which snapshots were read, and what stores gave while they were.

One line for each fact, appended to a file of this machine by whoever restores, loads or reads back: no lock, no flush
to the disk, so it costs a write of a few hundred bytes. Several processes may append at once: each line is one write.
A file that cannot be written costs the planner a fact, which is noted; it never costs a restore.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from holdfast.durable import replace_file
from holdfast.homes import state_home
from holdfast.stores.metering import metering
from holdfast.stores.protocol import store_identity
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle

__all__ = ["Gave", "Read", "UsedFor", "UsesLog", "Verified", "SITE_VARIABLE", "note_read", "used", "uses_log"]

SITE_VARIABLE = "HOLDFAST_SITE"  # at which site this machine is; several with spaces between
LEAST_BYTES = 4 << 20  # what is smaller tells of round trips, and not of bandwidth
KEEP_BYTES = 2 << 20  # of the newest lines; what is older goes when twice as much is there
_SITE_MAX = 200
_AGAIN_S = 3600.0  # so often one process says that it reads the same snapshot
_Moment = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
_Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=1e9)]


class Gave(msgspec.Struct, frozen=True, kw_only=True, tag="gave"):
    """A store gave so many stored bytes in so many seconds in which somebody waited for it, to machines at `site`
    (empty: not said). `how`: `restore` or `read back`. `store`: its identity.
    """

    at: _Moment
    store: str
    bytes: _Size
    seconds: _Seconds
    how: str
    site: str = ""


class Verified(msgspec.Struct, frozen=True, kw_only=True, tag="verified"):
    """So many plain bytes of an asset were fetched, decoded and compared in so many seconds; by a restore, written."""

    at: _Moment
    asset: str
    bytes: _Size
    seconds: _Seconds
    how: str


class Read(msgspec.Struct, frozen=True, kw_only=True, tag="read"):
    """Somebody wanted the content of a snapshot, from this store (its identity)."""

    at: _Moment
    asset: str
    snapshot: str
    store: str


Fact: TypeAlias = Gave | Verified | Read


class UsesLog:
    """The facts about one vault, in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, facts: list[Fact]) -> None:
        """Raises OSError."""
        lines = b"".join(msgspec.json.encode(one) + b"\n" for one in facts)
        if not lines:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self.path, flags, 0o600)
        try:
            os.write(descriptor, lines)
            size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        if size > 2 * KEEP_BYTES:
            self._shorten(size)

    def read(self) -> Iterator[Fact]:
        """In the order of writing; lines that say nothing are passed over. Raises OSError, but for a missing file."""
        try:
            with self.path.open("rb") as file:
                for line in file:
                    try:
                        yield _decoder.decode(line)
                    except (msgspec.MsgspecError, ValueError, RecursionError):
                        continue
        except FileNotFoundError:
            return

    def _shorten(self, size: int) -> None:
        """Keep the newest lines. What others append in this moment may be lost: facts for a planner, not snapshots."""
        with self.path.open("rb") as file:
            file.seek(size - KEEP_BYTES)
            file.readline()
            newest = file.read()
        replace_file(self.path, newest, mode=0o600, synced=False)


_decoder: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Gave | Verified | Read)
_said: dict[tuple[int, str, str], float] = {}  # process, vault, snapshot → when (monotonic)
_noted: set[str] = set()


def uses_log(vault_id: str, environment: Mapping[str, str]) -> UsesLog | None:
    """`$XDG_STATE_HOME/holdfast/uses/<vault id>.jsonl`; None for a user without a home."""
    home = state_home(environment)
    return None if home is None else UsesLog(home / "holdfast" / "uses" / f"{vault_id}.jsonl")


class UsedFor:
    """What a use was of: filled in by whoever does it. `bytes`: plain ones that were verified."""

    def __init__(self) -> None:
        self.asset = ""
        self.bytes = 0

    def of(self, root: Root, size: int) -> None:
        self.asset, self.bytes = root.asset, size


@contextmanager
def used(handle: Handle, how: str, environment: Mapping[str, str] = os.environ) -> Iterator[UsedFor]:
    """Measure what the stores give until the end of the block, and keep that if it was enough to tell something."""
    clock = handle.clock
    with metering() as meter:
        began = clock.monotonic()
        said = UsedFor()
        yield said
        seconds = clock.monotonic() - began
        given = meter.given()
    now, site = clock.now_ns(), environment.get(SITE_VARIABLE, "")[:_SITE_MAX]
    facts: list[Fact] = [
        Gave(at=now, store=store, bytes=one.bytes, seconds=one.seconds, how=how, site=site)
        for store, one in given.items()
        if one.bytes >= LEAST_BYTES and one.seconds > 0
    ]
    # Where others did the reading (a cluster), this machine's seconds tell nothing.
    if facts and said.asset and said.bytes >= LEAST_BYTES and seconds > 0:
        facts.append(Verified(at=now, asset=said.asset, bytes=said.bytes, seconds=seconds, how=how))
    _append(handle, facts, environment)


def note_read(handle: Handle, root: Root, environment: Mapping[str, str] = os.environ) -> None:
    """Somebody reads this snapshot: said once an hour by each process."""
    own, vault = handle.own, handle.keys.vault.hex()
    this, now = (os.getpid(), vault, root.id), own.clock.monotonic()
    last = _said.get(this)
    if last is not None and now - last < _AGAIN_S:
        return
    _said[this] = now
    store = store_identity(own.store)
    _append(own, [Read(at=own.clock.now_ns(), asset=root.asset, snapshot=root.id, store=store)], environment)


def _append(handle: Handle, facts: list[Fact], environment: Mapping[str, str]) -> None:
    if not facts:
        return
    log = uses_log(handle.keys.vault.hex(), environment)
    if log is None:
        return
    try:
        log.append(facts)
    except (OSError, ValueError) as error:  # ValueError: a name that is no Unicode
        if str(log.path) not in _noted:
            _noted.add(str(log.path))
            why = error.strerror if isinstance(error, OSError) else "a name in it is no text"
            handle.progress.note(f"{log.path} cannot be written ({why}): the planner of tiers misses this")
