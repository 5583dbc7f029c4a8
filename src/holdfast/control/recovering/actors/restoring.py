"""RESTORE: a snapshot into a folder of this machine, whole or not at all, whoever dies meanwhile.

Before anything is written, a *claim* is put beside the target: a small file that names the run and the step, and says
that nothing was there before. What lies at the target afterwards is this step's, so that another attempt goes on,
another control plane finds what is in effect, and taking back removes that and nothing else.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from holdfast.clock import Clock
from holdfast.control.recovering.places import Places
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.vaults.repairing import known_replicas
from holdfast.errors import ConflictError, DamageError, FailedError, HoldfastError, RefusedError, UsageError
from holdfast.events import Progress
from holdfast.recovery.running.actors import Facts, Task
from holdfast.vault.restoring.restore import place_of, snapshot_entries
from holdfast.vault.restoring.staged_files import remove_whole
from holdfast.vault.restoring.staging import translate_os_error
from holdfast.vault.vault import Vault

__all__ = ["Claim", "Restoring"]

_CLAIM_MAX: Final = 65_536


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`key`: of the step. `emptied`: an empty folder was at the target, and is to be there again when it is undone."""

    key: str
    asset: str
    snapshot: str
    emptied: bool


class Restoring:
    """The actor. `rehearsal`: it is not counted among the attempts that demote a snapshot."""

    def __init__(
        self, sites: DeclaredSites, places: Places, *, rehearsal: bool, clock: Clock, gone: threading.Event
    ) -> None:
        """`gone`: set when this control plane has ended or lost the run: what is under way stops at the next chunk."""
        self._sites, self._places, self._rehearsal, self._clock = sites, places, rehearsal, clock
        self._gone = gone

    def check(self, task: Task) -> str | None:
        target = self._target(task)
        claim = self._claim(task)
        if claim is None and not _is_free(target):
            return f"{target} is taken"
        above = next(folder for folder in (target.parent, *target.parent.parents) if folder.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            return f"{above} may not be written"
        root = self._vault(task).find(str(task.step.with_["snapshot"]))
        size = sum(part.size for part in root.parts)
        free = os.statvfs(above).f_bavail * os.statvfs(above).f_frsize
        return f"{above} has {free} bytes free, and {size} are restored" if free < size else None

    def act(self, task: Task) -> Facts:
        """Raises RefusedError where something else is at the target, and what restoring raises."""
        target = self._target(task)
        began = self._clock.monotonic()
        vault = self._vault(task)
        root = vault.find(str(task.step.with_["snapshot"]))
        claim = self._claim(task)
        if claim is None:
            self._claim_now(task)
        elif (found := self._in_effect(task, vault)) is not None:
            return found
        done = vault.restore(root.id, target, rehearsal=self._rehearsal)
        seconds = self._clock.monotonic() - began
        return _told(target, done.bytes, seconds, done.resumed_bytes)

    def done(self, task: Task) -> Facts | None:
        """Whether the target is there, under a claim of this step."""
        return None if self._claim(task) is None else self._in_effect(task, self._vault(task))

    def undo(self, task: Task) -> None:
        """Remove the target if this step made it, with what it left unfinished, and the claim last."""
        target, claim = self._target(task), self._claim(task)
        if claim is None:
            return
        try:
            for left in (*_staged(target, claim.snapshot), target):
                if os.path.lexists(left):
                    _remove(left)
            if claim.emptied and not target.exists():
                target.mkdir()
            _claim_path(target).unlink(missing_ok=True)
        except OSError as error:
            raise translate_os_error(error, target) from error

    def settle(self, assets: Iterable[str], run: str) -> None:
        """The run has passed: its claims are not needed any more. What cannot be removed is noted."""
        for asset in assets:
            path = _claim_path(self._places.of(asset))
            try:
                if path.exists() and decode_claim(path.read_bytes(), str(path)).key.startswith(f"{run}/"):
                    path.unlink()
            except (OSError, HoldfastError) as error:
                self._sites.progress.note(f"{path} is not needed any more, and could not be removed: {error}")

    def _target(self, task: Task) -> Path:
        return self._places.of(task.step.asset)

    def _vault(self, task: Task) -> Vault:
        """At the copy that the plan chose; others that are known stand in for what cannot be read soundly there."""
        opened = self._sites.open_at(str(task.step.with_["store"]))
        opened.handle.progress = _Halting(opened.handle.progress, self._gone)
        return opened.with_replicas(known_replicas(opened, progress=self._sites.progress), finding=False)

    def _in_effect(self, task: Task, vault: Vault) -> Facts | None:
        target = self._target(task)
        root = vault.find(str(task.step.with_["snapshot"]))
        place = place_of(root, snapshot_entries(vault.handle, root), target)
        if not os.path.lexists(place) or (place == target and _is_free(target) and root.parts):
            return None
        return _told(target, sum(part.size for part in root.parts), 0.0, 0)

    def _claim_now(self, task: Task) -> None:
        target = self._target(task)
        if not _is_free(target):
            raise RefusedError(
                f"{target} is taken, and a recovery replaces nothing",
                hint="name a folder that is not there: --target",
                object_name=str(target),
            )
        claim = Claim(
            key=task.key,
            asset=task.step.asset,
            snapshot=str(task.step.with_["snapshot"]),
            emptied=target.exists(),
        )
        path = _claim_path(target)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileExistsError as error:
            raise self._claimed_by_others(path) from error
        except OSError as error:
            raise translate_os_error(error, path) from error
        try:
            os.write(descriptor, msgspec.json.encode(claim))
            os.fsync(descriptor)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise translate_os_error(error, path) from error
        finally:
            os.close(descriptor)

    def _claim(self, task: Task) -> Claim | None:
        """Of this step; None where there is none, or only the beginning of one, which nothing was done under."""
        path = _claim_path(self._target(task))
        try:
            with path.open("rb") as file:
                data = file.read(_CLAIM_MAX)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise translate_os_error(error, path) from error
        if not data:
            return None
        claim = decode_claim(data, str(path))
        if claim.key != task.key:
            raise self._claimed_by_others(path)
        return claim

    def _claimed_by_others(self, path: Path) -> HoldfastError:
        return RefusedError(
            f"{path} says that another recovery restores to this place",
            hint="wait for it, or name another folder; if that run has ended, remove the file",
            object_name=str(path),
        )


class _Halting:
    """Progress that ends what tells it, once the control plane is gone."""

    def __init__(self, progress: Progress, gone: threading.Event) -> None:
        self._progress, self._gone = progress, gone

    def phase(self, name: str, total_bytes: int | None) -> None:
        self._progress.phase(name, total_bytes)

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        if self._gone.is_set():
            raise ConflictError("this control plane has the run no longer")
        self._progress.advance(done_bytes, stored_bytes)

    def note(self, message: str) -> None:
        self._progress.note(message)


def decode_claim(data: bytes, name: str) -> Claim:
    """Raises DamageError."""
    try:
        return msgspec.json.decode(data, type=Claim)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(
            f"{name} does not say which recovery restores to this place",
            hint="if none does, remove the file",
            object_name=name,
        ) from error


def _claim_path(target: Path) -> Path:
    if not target.name:
        raise UsageError(f"{target} is no place to restore to")
    return target.with_name(f".{target.name}.holdfast-run")


def _staged(target: Path, snapshot: str) -> list[Path]:
    """Where `vault.restoring.staging` lets a restore grow."""
    found = [target.with_name(f".{target.name}.holdfast-{snapshot}.partial")]
    if target.is_dir() and not target.is_symlink():
        found += [path for path in target.iterdir() if path.name == f".holdfast-{snapshot}.partial"]
        found += list(target.glob(f".*.holdfast-{snapshot}.partial"))
    return found


def _is_free(target: Path) -> bool:
    try:
        return not os.path.lexists(target) or (
            target.is_dir()
            and not target.is_symlink()
            and all(".holdfast-" in path.name and path.name.endswith(".partial") for path in target.iterdir())
        )
    except OSError as error:
        raise translate_os_error(error, target) from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink() and os.path.ismount(path):
        for child in path.iterdir():
            remove_whole(child)
        return
    remove_whole(path)


def _told(target: Path, size: int, seconds: float, resumed: int) -> Facts:
    return {
        "target": str(target),
        "machine": socket.gethostname(),
        "bytes": size,
        "seconds": round(seconds, 6),
        "resumed_bytes": resumed,
    }


def require_here(target: str, machine: str) -> None:
    """Raises FailedError where what was restored elsewhere is not to be seen on this machine."""
    if not os.path.lexists(target):
        raise FailedError(
            f"this run restored to {target} on {machine}, and nothing is there on this machine",
            hint="adopt it on a machine that sees that folder, or `holdfast recover stop` it",
            object_name=target,
        )
