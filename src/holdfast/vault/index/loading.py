"""Taking in what index objects and footers say, as far as it is not known yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from holdfast.errors import (
    DamageError,
    FailedError,
    HoldfastError,
    NotFoundError,
    ObjectNotFoundError,
    UntrustedError,
    WrongKeyError,
)
from holdfast.events import Progress
from holdfast.ids import PackId
from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.trust.signing import fingerprint
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import INDEX
from holdfast.vault.format.records import PackTable
from holdfast.vault.index.facts import Facts, Saying
from holdfast.vault.index.objects import read_checked, read_pack_table
from holdfast.vault.index.trust import is_disputed, ranks_of

__all__ = ["Footers", "read_footers", "take_index_objects"]

_STREAMS = 8  # objects fetched at a time: short reads, so it is the answers that are waited for
_CHUNKS_AT_ONCE = 1 << 18  # in one transaction: enough to write a page of the cache once, few enough to hold in memory


class Footers(NamedTuple):
    """What came of reading footers: packs that were not known before, and keys of those that cannot be read."""

    found: list[PackId]
    unread: list[str]


def take_index_objects(facts: Facts, store: Store, keys: VaultKeys) -> list[HoldfastError]:
    """Read the index objects of the store that were not taken in yet, and forget those that are gone.

    Returns what is wrong: damaged objects (read again the next time), signers who do not count, contradictions.
    """
    known = facts.objects()  # before the listing: what another process takes in meanwhile is not gone
    listed = [info.key for info in store.list(INDEX)]
    problems: list[HoldfastError] = []
    sayings: list[Saying] = []
    chunks = 0
    for saying in _read_all(store, keys, [key for key in listed if key not in known], problems):
        sayings.append(saying)
        chunks += sum(len(columns) for _, columns in saying.packs)
        if chunks >= _CHUNKS_AT_ONCE:
            facts.take(sayings)
            sayings, chunks = [], 0
    if sayings:
        facts.take(sayings)
    gone = known.difference(listed)
    if gone:
        facts.forget_objects(gone)
    return [*problems, *_doubts(facts, keys)]


def _read_all(store: Store, keys: VaultKeys, names: Sequence[str], problems: list[HoldfastError]) -> Iterator[Saying]:
    def read(key: str) -> Saying | HoldfastError | None:
        try:
            signed, packs = read_checked(store, keys, key)
        except (DamageError, UntrustedError, FailedError) as error:
            return error
        except ObjectNotFoundError:
            return None  # deleted since it was listed
        return Saying(key, fingerprint(signed.signer.public), packs)

    with ThreadPoolExecutor(_STREAMS) as pool:
        for start in range(0, len(names), _STREAMS):  # so many at a time are in memory
            for outcome in pool.map(read, names[start : start + _STREAMS]):
                if isinstance(outcome, HoldfastError):
                    problems.append(outcome)
                elif outcome is not None:
                    yield outcome


def _doubts(facts: Facts, keys: VaultKeys) -> Iterator[HoldfastError]:
    """Also of what was taken in when its signer still counted."""
    ranks = ranks_of(keys)
    revoked = {fingerprint(signer.public) for signer in keys.config.signers} - ranks.keys()
    signers = facts.signers()
    count = sum(signers.get(signer, 0) for signer in revoked)
    if count:
        message = f"{count} index objects are signed with keys that were revoked"  # whatever date they bear
        yield UntrustedError(message, object_name=INDEX)
    count = sum(signers[signer] for signer in signers.keys() - ranks.keys() - revoked)
    if count:
        message = f"{count} index objects are signed with keys that the vault's configuration does not list"
        yield UntrustedError(message, object_name=INDEX)
    count = sum(is_disputed(facts.claims(pack), ranks) for pack in facts.contested())
    if count:
        yield DamageError(f"the index contradicts itself about {count} packs", object_name=INDEX)


def read_footers(
    store: Store,
    keys: VaultKeys,
    wanted: Sequence[tuple[PackId, ObjectInfo]],
    take: Callable[[PackId, int, PackTable], bool],
    progress: Progress,
) -> Footers:
    """Hand the table in each pack's footer to `take`, which says whether the pack was unknown; from several threads."""
    found: list[PackId] = []
    unread: list[str] = []

    def one(pack: PackId, info: ObjectInfo) -> None:
        try:
            if take(pack, info.size, read_pack_table(store, keys, info)):
                found.append(pack)
        except (DamageError, NotFoundError, WrongKeyError, FailedError) as error:
            progress.note(f"{info.key} left out: {error.message}")
            unread.append(info.key)

    with ThreadPoolExecutor(_STREAMS) as pool:
        list(pool.map(lambda item: one(*item), wanted))
    return Footers(found, sorted(unread))
