"""What the stores of several sites say that they have: asked at once; who does not answer in time is left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Final, NamedTuple

from holdfast.errors import FailedError, HoldfastError, NotFoundError, RefusedError, StoreUnreachableError
from holdfast.events import SILENT, Progress
from holdfast.fanout.beside import at_once, for_each
from holdfast.replication.copying.asking import AskedStore
from holdfast.replication.following.waiting import Waiters
from holdfast.stores.protocol import Store, store_identity
from holdfast.vault.access.configuration import claimed_config
from holdfast.vault.access.generations import StoredConfig
from holdfast.vault.checking.deep import DEEP
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.checking.verifying import DECODED
from holdfast.vault.format.names import CONFIG, SNAPSHOTS
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.roots import list_roots

__all__ = ["SiteStore", "View", "look", "PATIENCE_SECONDS"]

PATIENCE_SECONDS = 30.0
_waiters: Final = Waiters(1)


class SiteStore(NamedTuple):
    """One store of a site, opened. `name`: how people call it, `euw4/warm`."""

    name: str
    site: str
    store: Store


class View(NamedTuple):
    """What one store said. `problem`: why it said nothing; then the rest is empty.

    `roots`: asset → snapshot id → root, as this store has it; a root is there only if what it needs had arrived before.
    `verified`: snapshot id → when (ns since the epoch) this machine last read it back there. `vault`: whether there is
    a vault at all: a store that answers without one is new, or has lost everything. `configuration`: the newest that it
    has, at its word.
    """

    name: str
    site: str
    problem: HoldfastError | None
    roots: Mapping[str, Mapping[str, Root]]
    verified: Mapping[str, int]
    vault: bool = True
    configuration: StoredConfig | None = None

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
    a problem (RefusedError). Reads roots, each once in the life of this machine's memory; no packs. While an earlier
    question to a store hangs, this one waits behind it.
    """
    vault = home.keys.vault
    asked = {
        one.name: _waiters.submit(
            (store_identity(one.store), vault, tuple(assets)),
            f"look {one.name}",
            partial(_view, home, one, assets, progress),
        )
        for one in stores
    }
    until = home.clock.monotonic() + patience_s
    views = {name: _taken(answer, until - home.clock.monotonic()) for name, answer in asked.items()}
    return {one.name: views[one.name] or _silent(one, patience_s) for one in stores}


def _taken(answer: Future[View], within_s: float) -> View | None:
    """What came within this time. What was not even asked, as an earlier question hangs, is not asked any more."""
    try:
        return answer.result(max(0.0, within_s))
    except (TimeoutError, CancelledError):
        answer.cancel()
        return None


def _view(home: Handle, one: SiteStore, assets: Collection[str], progress: Progress) -> View:
    store = AskedStore(one.store)  # whose listings are asked for at once
    handle = Handle(store, home.keys, home.clock, progress)
    try:
        prefixes = [f"{SNAPSHOTS}{home.keys.names.asset_key(asset)}/" for asset in assets]
        for_each(lambda task: task(), store.ask([CONFIG, *prefixes]))
        configuration: list[StoredConfig | None] = []
        found: list[list[dict[str, Root]]] = []
        at_once(
            lambda: configuration.append(_configuration(home, one._replace(store=store))),
            lambda: found.append(for_each(partial(_sound, handle), assets)),
        )
        if configuration[0] is None:
            return View(one.name, one.site, None, {}, {}, vault=False)
        roots = dict(zip(assets, found[0], strict=True))
        proven = Proofs(handle).snapshots()
        verified = {snapshot: one.at for snapshot, one in proven.items() if one.level in (DECODED, DEEP)}
        return View(one.name, one.site, None, roots, verified, configuration=configuration[0])
    except HoldfastError as error:
        return View(one.name, one.site, error, {}, {})
    except Exception as error:  # noqa: BLE001 - a thread that dies in silence would look like a site that does not answer
        return View(one.name, one.site, FailedError(f"{one.name}: {type(error).__name__}: {error}"), {}, {})


def _configuration(home: Handle, one: SiteStore) -> StoredConfig | None:
    """What the store says that the vault's newest configuration is; None where it has none yet. Raises RefusedError
    where it is that of another vault.
    """
    try:
        found = claimed_config(one.store)
    except NotFoundError:
        return None
    if found.vault != home.keys.vault:
        raise RefusedError(f"{one.name} holds another vault ({found.vault.hex()})", object_name=one.store.url)
    return found


def _sound(handle: Handle, asset: str) -> dict[str, Root]:
    return {listed.root.id: listed.root for listed in list_roots(handle, asset) if listed.root is not None}


def _silent(one: SiteStore, patience_s: float) -> View:
    problem = StoreUnreachableError(f"{one.name} did not answer within {patience_s:.0f} s", object_name=one.store.url)
    return View(one.name, one.site, problem, {}, {})
