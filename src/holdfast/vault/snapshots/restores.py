"""Who restored what, and whether it leads anywhere: a run may resume from one snapshot, die, and resume from it again.

Every full restore is noted on this machine (`$XDG_STATE_HOME/holdfast/<vault id>/restores`), and in the vault where
the key may write: one generation of the ref `!restored` each. When the snapshot that `validated` points to was restored
in three attempts, and nothing newer was validated since the first of them, it is demoted: `validated` moves back to the
one before.

One attempt is whatever many hosts restore within ten minutes; the same place a second time is another attempt.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from holdfast.durable import replace_file
from holdfast.errors import HoldfastError
from holdfast.homes import state_home
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import normalised
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.finding import tags_of
from holdfast.vault.snapshots.holds import hold_of, is_hold
from holdfast.vault.snapshots.quarantine import DEMOTED, fallback_of, mark_of, set_aside
from holdfast.vault.snapshots.refs import LATEST, RESERVED, VALIDATED, move_ref, read_backwards

__all__ = ["ATTEMPTS", "RESTORED", "RestoreNote", "ResumeLoop", "note_restore", "count_attempts", "restores_path"]

ATTEMPTS = 3
RESTORED = "!restored"
_TOGETHER_NS = 600 * 10**9
_CLOCK_SLACK_NS = 300 * 10**9
_GENERATIONS_MAX = 200
_PLACE_MAX = 500
_FILE_MAX = 1 << 20


class RestoreNote(msgspec.Struct, frozen=True):
    """One restore. `place` is host and target; `shared`: it is in the vault, too."""

    asset: str
    snapshot: str
    place: str
    at: int
    shared: bool = False


class ResumeLoop(NamedTuple):
    """A snapshot that was restored again and again. `fallback` is what `validated` means now, empty: nothing moved."""

    snapshot: str
    attempts: int
    fallback: str


def note_restore(handle: Handle, root: Root, target: Path, *, attempts: int = ATTEMPTS) -> ResumeLoop | None:
    """Note that all of a snapshot was restored to `target`, and demote it if that is a loop. Says so loudly.

    Never fails a restore that went well: what goes wrong here is a note.
    """
    place = f"{socket.gethostname()}:{target}".encode("utf-8", "backslashreplace").decode()[:_PLACE_MAX]
    shared = False
    try:
        if handle.keys.can_write:
            shared = bool(move_ref(handle, root.asset, RESTORED, root.id, place))
    except HoldfastError as error:
        handle.progress.note(f"the restore is noted on this machine only: {error.message}")
    path = restores_path(handle.keys)
    _append(path, RestoreNote(root.asset, root.id, place, handle.clock.now_ns(), shared))
    try:
        return _judge(handle, root, path, attempts)
    except HoldfastError as error:
        handle.progress.note(f"whether the run makes progress is not known: {error.message}")
        return None


def count_attempts(notes: Iterable[RestoreNote]) -> int:
    """How many times somebody began again. A node more, or one that comes minutes later, is of the same attempt."""
    attempts, began = 0, 0
    places: set[str] = set()
    for note in sorted(notes, key=lambda note: note.at):
        if not attempts or note.place in places or note.at > began + _TOGETHER_NS:
            attempts, began = attempts + 1, note.at
            places = set()
        places.add(note.place)
    return attempts


def restores_path(keys: VaultKeys, environment: Mapping[str, str] | None = None) -> Path | None:
    """Where restores are noted on this machine; None where this user has no home."""
    state = state_home(os.environ if environment is None else environment)
    return None if state is None else state / "holdfast" / keys.vault.hex() / "restores"


def _judge(handle: Handle, root: Root, path: Path | None, attempts: int) -> ResumeLoop | None:
    if mark_of(handle, root.asset, root.id) is not None:
        return None
    since = _progress_ns(handle, root)
    if since is None:
        return None
    counted = count_attempts(_notes(handle, root, path, since, attempts))
    if counted < attempts:
        return None
    what = f"snapshot {root.id} was restored {counted} times or more, and nothing newer was validated since"
    kept = _kept_by(handle, root)
    if kept:
        handle.progress.note(f"WARNING: {what}; it is not demoted, because it has {kept}")
        return ResumeLoop(root.id, counted, "")
    before = fallback_of(handle, root.asset, VALIDATED, root.id)
    if before is None:
        handle.progress.note(f"WARNING: {what}; there is no older good snapshot of {root.asset!r} to fall back to")
        return ResumeLoop(root.id, counted, "")
    if not handle.keys.can_write:
        handle.progress.note(
            f"WARNING: {what}; this key may not demote it: with one that may, "
            f"`holdfast snapshot quarantine {root.asset}@{root.id}`; the good one before is {before.target}"
        )
        return ResumeLoop(root.id, counted, "")
    done = set_aside(handle, root.asset, root.id, f"restored {counted} times without progress", DEMOTED)
    fallback = done.moves.get(VALIDATED, "")
    handle.progress.note(
        f"WARNING: {what}; it is demoted: {root.asset}@validated is {fallback or before.target} from now on "
        f"(`holdfast snapshot release {root.id}` takes that back)"
    )
    return ResumeLoop(root.id, counted, fallback)


def _kept_by(handle: Handle, root: Root) -> str:
    """The tag or hold by which a person said that this snapshot is wanted: a final model is restored many times."""
    for name, ref in tags_of(handle, root.asset).items():
        if ref.target == root.id and name not in (LATEST, VALIDATED):
            if is_hold(name):
                until = hold_of(ref).until
                if until is None or until > handle.clock.now_ns():
                    return "a hold"
            elif not name.startswith(RESERVED):
                return f"the tag {name!r}"
    return ""


def _progress_ns(handle: Handle, root: Root) -> int | None:
    """When `validated` last led to something newer, 0 for never; None if it does not lead to this snapshot now."""
    newest = True
    since = 0
    for ref in read_backwards(handle, root.asset, VALIDATED):
        if newest and ref.target != root.id:
            return None
        newest = False
        if ref.created < root.created - _CLOCK_SLACK_NS:
            break  # nothing led to a snapshot before it was there
        if ref.target > root.id:  # ids sort by time
            since = max(since, ref.created)
    return None if newest else since


def _notes(handle: Handle, root: Root, path: Path | None, since: int, attempts: int) -> list[RestoreNote]:
    """The restores of this snapshot, the vault's and those that only this machine knows, later than `since`.

    Of the vault's only the newest that make up so many attempts: each is read from the store.
    """
    asset = normalised(root.asset)
    local = [one for one in _read(path) if (one.asset, one.snapshot) == (asset, root.id) and not one.shared]
    notes = [one for one in local if one.at > since]
    for number, ref in enumerate(read_backwards(handle, root.asset, RESTORED)):
        if number == _GENERATIONS_MAX or ref.created <= max(since, root.created - _CLOCK_SLACK_NS):
            break
        if ref.target == root.id:
            notes.append(RestoreNote(asset, ref.target, ref.reason, ref.created, shared=True))
            if count_attempts(notes) >= attempts:
                break
    return notes


def _append(path: Path | None, note: RestoreNote) -> None:
    """One line more; a file that has grown large loses its older half. A machine without a home forgets."""
    if path is None:
        return
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _FILE_MAX:
            lines = path.read_bytes().splitlines(keepends=True)
            replace_file(path, b"".join(lines[len(lines) // 2 :]), mode=0o600, synced=False)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, msgspec.json.encode(note) + b"\n")
        finally:
            os.close(descriptor)


def _read(path: Path | None) -> list[RestoreNote]:
    notes = []
    with suppress(OSError):
        for line in path.read_bytes().splitlines() if path is not None else ():
            with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # of a write that was cut off
                notes.append(msgspec.json.decode(line, type=RestoreNote))
    return notes
