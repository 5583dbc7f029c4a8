"""One declared store, as the catalog looks at it: listings, and what is new in them, opened with the vault's keys."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from holdfast.catalog.seen import Fact, Look, ProofFact, fingerprint, plain_text, root_fact
from holdfast.control.cataloguing.meaning import digest_of
from holdfast.control.recovering.seals import VaultSeal
from holdfast.errors import (
    CredentialError,
    DamageError,
    NotFoundError,
    ObjectNotFoundError,
    PermissionDeniedError,
    RefusedError,
)
from holdfast.recovery.journal.journal import RUNS
from holdfast.replication.following.views import SiteStore
from holdfast.stores.protocol import ObjectInfo
from holdfast.vault.access.configuration import read_vault_id
from holdfast.vault.access.site_notices import open_notice
from holdfast.vault.checking.deep import DEEP
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.checking.verifying import DECODED
from holdfast.vault.format.names import CONFIG, REFS, SITES, SNAPSHOTS, generation_of
from holdfast.vault.format.series import series_of
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.refs import VALIDATED, read_ref
from holdfast.vault.snapshots.roots import read_root

__all__ = ["VaultReader"]

_AT_ONCE: Final = 16  # objects that are asked for: each is small, and waits for the line
_NAME_MAX: Final = 200


class VaultReader:
    """`holdfast.catalog.seen.StoreReader` over a store of the vault that `home` has opened."""

    def __init__(self, home: Handle, store: SiteStore) -> None:
        self.name = store.name
        self._store = store.store
        self._handle = Handle(store.store, home.keys, home.clock, home.progress)

    def look(self) -> Look:
        """Raises RefusedError for another vault, and what listing raises. A store without a vault shows nothing."""
        machine = f"machine {platform.node()}"[:_NAME_MAX]
        try:
            found = read_vault_id(self._store)
        except NotFoundError:
            return Look({}, b"none", {}, machine)
        if found != self._handle.keys.vault.hex():
            raise RefusedError(f"{self.name} holds another vault ({found})", object_name=self._store.url)
        prefixes = (CONFIG, SNAPSHOTS, REFS, SITES, RUNS)
        with ThreadPoolExecutor(len(prefixes)) as pool:
            config, roots, refs, sites, runs = pool.map(lambda prefix: list(self._store.list(prefix)), prefixes)
        listings: dict[str, list[ObjectInfo]] = {}
        for info in (*_of_depth(roots, 2), *_newest(refs), *_of_depth(sites, 1), *_of_depth(runs, 2)):
            parts = info.key.split("/")
            listings.setdefault(parts[0] if parts[0] == "sites" else "/".join(parts[:2]), []).append(info)
        # What the configuration trusts decides what counts, and the key that reads, what can be read at all.
        salt = fingerprint(config)
        proven = Proofs(self._handle).snapshots()
        proofs = {one: ProofFact(by.at, by.level) for one, by in proven.items() if by.level in (DECODED, DEEP)}
        return Look(listings, salt, proofs, machine)

    def read(self, prefix: str, infos: Sequence[ObjectInfo]) -> list[Fact]:
        """Damaged, untrusted and unreadable objects are facts; a store that does not answer raises."""
        kind = next(read for begin, read in self._kinds() if f"{prefix}/".startswith(begin))
        if len(infos) < 2:
            return [_read(kind, info.key) for info in infos]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda info: _read(kind, info.key), infos))

    def _kinds(self) -> Iterator[tuple[str, Callable[[str], Fact]]]:
        yield SNAPSHOTS, self._root
        yield REFS, self._pointer
        yield SITES, self._notice
        yield RUNS, self._entry

    def _root(self, key: str) -> Fact:
        return Fact(root=root_fact(read_root(self._handle, key)))

    def _pointer(self, key: str) -> Fact:
        ref = read_ref(self._handle, key)
        said: dict[str, object] = {"asset": plain_text(ref.asset), "name": plain_text(ref.name), "target": ref.target}
        if ref.name == VALIDATED and ref.check is not None and ref.check.level == DECODED:
            said |= {"at": min(ref.check.at, (1 << 63) - 1), "level": ref.check.level}
        return Fact(json=_json(said))

    def _notice(self, key: str) -> Fact:
        return Fact(json=_json(open_notice(self._handle.keys, key, self._store.get(key))))

    def _entry(self, key: str) -> Fact:
        data = self._store.get(key)
        body = VaultSeal(self._handle.keys).open(key, data)
        return Fact(json=body.decode(), digest=digest_of(data))


def _read(kind: Callable[[str], Fact], key: str) -> Fact:
    try:
        return kind(key)
    except PermissionDeniedError:
        raise  # of the store: nothing was said about the object
    except (DamageError, CredentialError, ObjectNotFoundError) as error:
        return Fact(problem=error.code)
    except (UnicodeDecodeError, UnicodeEncodeError):
        return Fact(problem=DamageError.code)


def _json(said: object) -> str:
    return msgspec.json.encode(said, order="sorted").decode().replace("\0", "")


def _of_depth(infos: Iterable[ObjectInfo], slashes: int) -> Iterator[ObjectInfo]:
    """Other names are no objects of the format."""
    return (info for info in infos if info.key.count("/") == slashes)


def _newest(infos: Iterable[ObjectInfo]) -> Iterator[ObjectInfo]:
    """The newest generation of each pointer."""
    by_series: dict[str, dict[str, ObjectInfo]] = {}
    for info in _of_depth(infos, 3):
        if generation_of(info.key) is not None:
            by_series.setdefault(info.key[:-10], {})[info.key] = info
    for series, found in by_series.items():
        counting = series_of(found, series).keys
        if counting:
            yield found[counting[-1]]
