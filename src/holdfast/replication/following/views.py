"""What the stores of several sites say that they have: asked at once; who does not answer in time is left out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple

from holdfast.errors import FailedError, HoldfastError, NotFoundError, RefusedError, StoreUnreachableError
from holdfast.events import SILENT, Progress
from holdfast.stores.protocol import Store
from holdfast.vault.access.configuration import read_vault_id
from holdfast.vault.checking.deep import DEEP
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.checking.verifying import DECODED
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.roots import list_roots

__all__ = ["SiteStore", "View", "look", "PATIENCE_SECONDS"]

PATIENCE_SECONDS = 30.0


class SiteStore(NamedTuple):
    """One store of a site, opened. `name`: how people call it, `euw4/warm`."""

    name: str
    site: str
    store: Store


class View(NamedTuple):
    """What one store said. `problem`: why it said nothing; then the rest is empty.

    `roots`: asset → snapshot id → root, as this store has it; a root is there only if what it needs had arrived before.
    `verified`: snapshot id → when (ns since the epoch) this machine last read it back there. `vault`: whether there is
    a vault at all: a store that answers without one is new, or has lost everything.
    """

    name: str
    site: str
    problem: HoldfastError | None
    roots: Mapping[str, Mapping[str, Root]]
    verified: Mapping[str, int]
    vault: bool = True

    @property
    def answered(self) -> bool:
        return self.problem is None

    def of(self, asset: str) -> Mapping[str, Root]:
        return self.roots.get(asset, {})


def look(
    home: Handle,
    stores: Sequence[SiteStore],
    assets: Collection[str],
    *,
    patience_s: float = PATIENCE_SECONDS,
    progress: Progress = SILENT,
) -> dict[str, View]:
    """Ask all stores at once for the snapshots of these assets. By the names of the stores, in their order.

    `home`: a handle of the vault, for its keys. A store without a vault has no snapshots; one with another vault has
    a problem (RefusedError). Reads roots, each once in the life of this machine's memory; no packs.
    """
    answers: SimpleQueue[View] = SimpleQueue()

    def ask(one: SiteStore) -> None:
        answers.put(_view(home, one, assets, progress))

    for one in stores:  # as daemons: a store that hangs must not keep the process from ending
        threading.Thread(target=ask, args=(one,), name=f"look {one.name}", daemon=True).start()
    views = _gathered(answers, len(stores), patience_s, home.clock.monotonic)
    return {one.name: views.get(one.name) or _silent(one, patience_s) for one in stores}


def _gathered(
    answers: SimpleQueue[View], count: int, patience_s: float, monotonic: Callable[[], float]
) -> dict[str, View]:
    views: dict[str, View] = {}
    until = monotonic() + patience_s
    while len(views) < count and (left := until - monotonic()) > 0:
        try:
            view = answers.get(timeout=left)
        except Empty:
            break
        views[view.name] = view
    return views


def _view(home: Handle, one: SiteStore, assets: Collection[str], progress: Progress) -> View:
    handle = Handle(one.store, home.keys, home.clock, progress)
    try:
        if not _is_of(home, one):
            return View(one.name, one.site, None, {}, {}, vault=False)
        roots = {asset: _sound(handle, asset) for asset in assets}
        proven = Proofs(handle).snapshots()
        verified = {snapshot: one.at for snapshot, one in proven.items() if one.level in (DECODED, DEEP)}
        return View(one.name, one.site, None, roots, verified)
    except HoldfastError as error:
        return View(one.name, one.site, error, {}, {})
    except Exception as error:  # noqa: BLE001 - a thread that dies in silence would look like a site that does not answer
        return View(one.name, one.site, FailedError(f"{one.name}: {type(error).__name__}: {error}"), {}, {})


def _is_of(home: Handle, one: SiteStore) -> bool:
    """Whether the store has this vault; False where it has none yet. Raises RefusedError."""
    try:
        found = read_vault_id(one.store)
    except NotFoundError:
        return False
    if found != home.keys.vault.hex():
        raise RefusedError(f"{one.name} holds another vault ({found})", object_name=one.store.url)
    return True


def _sound(handle: Handle, asset: str) -> dict[str, Root]:
    return {listed.root.id: listed.root for listed in list_roots(handle, asset) if listed.root is not None}


def _silent(one: SiteStore, patience_s: float) -> View:
    problem = StoreUnreachableError(f"{one.name} did not answer within {patience_s:.0f} s", object_name=one.store.url)
    return View(one.name, one.site, problem, {}, {})
