"""Saves that count only when several sites have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from holdfast.errors import FailedError, HoldfastError, ObjectiveMissedError, StoreUnreachableError, UsageError
from holdfast.events import SILENT, Progress
from holdfast.replication.copying.lanes import HIGH
from holdfast.replication.copying.snapshots import replicate
from holdfast.replication.following.lanes import lane_to
from holdfast.replication.following.views import SiteStore
from holdfast.replication.following.waiting import Waiters
from holdfast.stores.protocol import store_identity
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle

__all__ = ["Quorum", "copy_to_quorum", "QUORUM_SECONDS"]

QUORUM_SECONDS = 600.0
_waiters: Final = Waiters(4)  # copies to one store at a time: a save does not wait for the one before it


class Quorum(NamedTuple):
    """Sites that have the snapshot whole, the home's first, in the order in which they got it."""

    sites: tuple[str, ...]
    needed: int


def copy_to_quorum(
    home: Handle,
    home_site: str,
    root: Root,
    targets: Sequence[SiteStore],
    needed: int,
    *,
    within_s: float = QUORUM_SECONDS,
    progress: Progress = SILENT,
) -> Quorum:
    """Copy a committed snapshot from its home to all targets at once; return when `needed` sites have it whole.

    The home counts as one; of several stores of a site, one is enough. Copies that are not ready then go on in the
    background as long as the process lives: breaking them off costs nothing but what was sent. To a store at which
    earlier copies hang, no more are begun until one of them ends. Raises UsageError
    (fewer sites than needed), ObjectiveMissedError when the quorum is not reached within `within_s` seconds: the
    snapshot is at its home then, and the next round goes on with it.
    """
    sites = {home_site, *(target.site for target in targets)}
    if needed > len(sites):
        raise UsageError(f"{needed} sites are needed, and there are {len(sites)}: {', '.join(sorted(sites))}")
    answers: SimpleQueue[tuple[SiteStore, HoldfastError | None]] = SimpleQueue()
    begun = [_begin(home, root, target, answers.put, progress) for target in targets]
    reached = [home_site]
    failed: dict[str, HoldfastError] = {}
    until = home.clock.monotonic() + within_s
    waiting = len(targets)
    while len(reached) < needed and waiting:
        try:
            target, error = answers.get(timeout=max(0.0, until - home.clock.monotonic()))
        except Empty:
            break
        waiting -= 1
        if error is not None:
            failed[target.name] = error
        elif target.site not in reached:
            reached.append(target.site)
    if len(reached) < needed:
        for one in begun:
            one.cancel()  # what waits behind copies that hang
        raise _missed(root, reached, needed, failed, within_s)
    return Quorum(tuple(reached), needed)


def _begin(
    home: Handle,
    root: Root,
    target: SiteStore,
    answer: Callable[[tuple[SiteStore, HoldfastError | None]], None],
    progress: Progress,
) -> Future[None]:
    def copy() -> None:
        answer((target, _copied(home, root, target, progress)))

    return _waiters.submit(store_identity(target.store), f"copy to {target.name}", copy)


def _copied(home: Handle, root: Root, target: SiteStore, progress: Progress) -> HoldfastError | None:
    """None when the snapshot is whole there."""
    source = Handle(home.store, home.keys, home.clock, progress, home.workers)
    try:
        done = replicate(
            source,
            target.store,
            asset=root.asset,
            only={root.id},
            lane=lane_to(target.store, home.clock),
            priority=HIGH,
            progress=progress,
        )
    except HoldfastError as error:
        return error
    except Exception as error:  # noqa: BLE001 - who waits for this thread has to learn of it
        return FailedError(f"{type(error).__name__}: {error}")
    if root.id in done.arrived:
        return None
    what = next(iter(done.damaged.values()), "it did not arrive whole")
    return StoreUnreachableError(f"{root.id} is not at {target.name}: {what}", object_name=target.store.url)


def _missed(
    root: Root, reached: Sequence[str], needed: int, failed: dict[str, HoldfastError], within_s: float
) -> ObjectiveMissedError:
    why = "; ".join(f"{name}: {error.message}" for name, error in sorted(failed.items()))
    return ObjectiveMissedError(
        f"{root.id} of {root.asset!r} is at {len(reached)} of the {needed} sites that it owes ({', '.join(reached)}); "
        f"{why or f'the others did not have it within {within_s:.0f} s'}",
        hint="it is committed at its home, and no pointer moved; `holdfast site sync` copies it when the others answer",
        object_name=root.id,
    )
