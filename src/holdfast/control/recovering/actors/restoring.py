"""RESTORE: a snapshot into a folder of this machine, whole or not at all, whoever dies meanwhile.

Before anything is written, a *claim* is put beside the target: a small file that names the run and the step, and says
that nothing was there before. What lies at the target afterwards is this step's, so that another attempt goes on,
another control plane finds what is in effect, and taking back removes that and nothing else.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from holdfast.clock import Clock
from holdfast.control.recovering.claims import Claim, claim_path, decode_claim
from holdfast.control.recovering.places import Places
from holdfast.control.recovering.standby import forget_standing, standing_in
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.vaults.repairing import known_replicas
from holdfast.errors import ConflictError, FailedError, HoldfastError, RefusedError
from holdfast.events import Progress
from holdfast.recovery.running.actors import Facts, Task, never_over
from holdfast.stores.counting import CountingStore
from holdfast.vault.restoring.restore import place_of, snapshot_entries
from holdfast.vault.restoring.staged_files import remove_whole
from holdfast.vault.restoring.staging import translate_os_error
from holdfast.vault.vault import Vault

__all__ = ["Restoring", "require_here"]

_CLAIM_MAX: Final = 65_536
Made = Callable[[str], tuple[str, str] | None]
"""Id of a step that saves → the store and the snapshot that it made; None where it was skipped."""


def nothing_made(step: str) -> tuple[str, str] | None:
    """No step has saved anything."""
    return None


class Restoring:
    """The actor. `rehearsal`: it is not counted among the attempts that demote a snapshot."""

    def __init__(
        self,
        sites: DeclaredSites,
        places: Places,
        *,
        rehearsal: bool,
        clock: Clock,
        gone: threading.Event,
    ) -> None:
        """`gone`: set when this control plane has ended or lost the run: what is under way stops at the next chunk."""
        self._sites, self._places, self._rehearsal, self._clock = sites, places, rehearsal, clock
        self._gone = gone
        self.made: Made = nothing_made
        """What a step of this run saved: of a graceful plan it is restored in place of what was planned."""

    def check(self, task: Task) -> str | None:
        target = self._target(task)
        claim = self._claim(task)
        if claim is None and self._stands(task, str(task.step.with_["snapshot"])):
            return None
        if claim is None and not _is_free(target):
            return f"{target} is taken"
        above = next(folder for folder in (target.parent, *target.parent.parents) if folder.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            return f"{above} may not be written"
        vault = self._vault(str(task.step.with_["store"]))
        root = vault.find(str(task.step.with_["snapshot"]))
        size = sum(part.size for part in root.parts)
        free = os.statvfs(above).f_bavail * os.statvfs(above).f_frsize
        return f"{above} has {free} bytes free, and {size} are restored" if free < size else None

    def act(self, task: Task) -> Facts:
        """Raises RefusedError where something else is at the target, and what restoring raises."""
        target = self._target(task)
        began = self._clock.monotonic()
        store, snapshot = self._source(task)
        vault = self._vault(store, task.over)
        claim = self._claim(task)
        if claim is None:
            standing = self._stands(task, snapshot)
            self._claim_now(task, snapshot, standing=standing)
            if standing:
                return self._standing(target, snapshot)
        elif claim.standing:
            return self._standing(target, snapshot)
        elif (found := self._in_effect(task, vault, snapshot)) is not None:
            return found
        done = vault.restore(snapshot, target, rehearsal=self._rehearsal)
        seconds = self._clock.monotonic() - began
        told = _told(target, done.bytes, seconds, done.resumed_bytes) | {"snapshot": done.root.id, "store": store}
        return told | _read(vault, sum(one.bytes for one in done.from_replicas.values()))

    def done(self, task: Task) -> Facts | None:
        """Whether the target is there, under a claim of this step."""
        claim = self._claim(task)
        if claim is None:
            return None
        store, snapshot = self._source(task)
        if claim.standing:
            return self._standing(self._target(task), snapshot)
        return self._in_effect(task, self._vault(store), snapshot)

    def undo(self, task: Task) -> None:
        """Remove the target if this step made it, with what it left unfinished, and the claim last."""
        target, claim = self._target(task), self._claim(task)
        if claim is None:
            return
        try:
            if claim.standing:
                claim_path(target).unlink(missing_ok=True)
                return
            for left in (*_staged(target, claim.snapshot), target):
                if os.path.lexists(left):
                    _remove(left)
            if claim.emptied and not target.exists():
                target.mkdir()
            claim_path(target).unlink(missing_ok=True)
        except OSError as error:
            raise translate_os_error(error, target) from error

    def settle(self, assets: Iterable[str], run: str) -> None:
        """The run has passed: its claims are not needed any more. What cannot be removed is noted."""
        for asset in assets:
            path = claim_path(self._places.of(asset))
            try:
                claim = decode_claim(path.read_bytes(), str(path)) if path.exists() else None
                if claim is not None and claim.key.startswith(f"{run}/"):
                    if claim.standing and not self._rehearsal:
                        forget_standing(self._places.of(asset))  # what runs there now changes it
                    path.unlink()
            except (OSError, HoldfastError) as error:
                self._sites.progress.note(f"{path} is not needed any more, and could not be removed: {error}")

    def _target(self, task: Task) -> Path:
        return self._places.of(task.step.asset)

    def _source(self, task: Task) -> tuple[str, str]:
        """The store and the snapshot: as planned, or what the last save of a graceful plan made."""
        newer = str(task.step.with_.get("newer", ""))
        made = self.made(newer) if newer else None
        return made or (str(task.step.with_["store"]), str(task.step.with_["snapshot"]))

    def _vault(self, store: str, over: Callable[[], bool] = never_over) -> Vault:
        """At that copy; others that are known stand in for what cannot be read soundly there."""
        opened = self._sites.open_at(store)
        opened.handle.progress = _Halting(opened.handle.progress, lambda: self._gone.is_set() or over())
        opened.handle.store = CountingStore(opened.handle.store)
        return opened.with_replicas(known_replicas(opened, progress=self._sites.progress), finding=False)

    def _in_effect(self, task: Task, vault: Vault, snapshot: str) -> Facts | None:
        target = self._target(task)
        root = vault.find(snapshot)
        place = place_of(root, snapshot_entries(vault.handle, root), target)
        if not os.path.lexists(place) or (place == target and _is_free(target) and root.parts):
            return None
        return _told(target, sum(part.size for part in root.parts), 0.0, 0) | {"snapshot": root.id}

    def _stands(self, task: Task, snapshot: str) -> bool:
        """Whether a hot standby has this snapshot there."""
        standing = standing_in(self._target(task), task.step.asset)
        return standing is not None and standing.snapshot == snapshot

    def _standing(self, target: Path, snapshot: str) -> Facts:
        return _told(target, 0, 0.0, 0) | {"snapshot": snapshot, "standing": True}

    def _claim_now(self, task: Task, snapshot: str, *, standing: bool) -> None:
        target = self._target(task)
        if not standing and not _is_free(target):
            raise RefusedError(
                f"{target} is taken, and a recovery replaces nothing",
                hint="name a folder that is not there: --target",
                object_name=str(target),
            )
        claim = Claim(
            key=task.key,
            asset=task.step.asset,
            snapshot=snapshot,
            emptied=target.exists() and not standing,
            standing=standing,
        )
        path = claim_path(target)
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
        path = claim_path(self._target(task))
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
    """Progress that ends what tells it, once the control plane is gone, or has given up the attempt."""

    def __init__(self, progress: Progress, over: Callable[[], bool]) -> None:
        self._progress, self._over = progress, over

    def phase(self, name: str, total_bytes: int | None) -> None:
        self._progress.phase(name, total_bytes)

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        if self._over():
            raise ConflictError("this control plane goes on with it no longer")
        self._progress.advance(done_bytes, stored_bytes)

    def note(self, message: str) -> None:
        self._progress.note(message)


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


def _read(vault: Vault, elsewhere: int) -> Facts:
    """What was read of the store, and how many bytes came from other copies instead. Nothing where a nearer store
    stands before it: what came from which of the two is not counted apart.
    """
    store = vault.handle.own.store
    if not isinstance(store, CountingStore) or store.counts_reads:
        return {}
    return {"read_bytes": store.bytes, "read_requests": store.requests, "read_elsewhere": elsewhere}


def require_here(target: str, machine: str) -> None:
    """Raises FailedError where what was restored elsewhere is not to be seen on this machine."""
    if not os.path.lexists(target):
        raise FailedError(
            f"this run restored to {target} on {machine}, and nothing is there on this machine",
            hint="adopt it on a machine that sees that folder, or `holdfast recover stop` it",
            object_name=target,
        )
