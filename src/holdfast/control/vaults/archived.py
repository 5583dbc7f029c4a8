"""A snapshot whose packs lie in an archive: which, how long asking for them takes, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from holdfast.economics.amounts import Cost, CostLine, cost_of
from holdfast.economics.book import PriceBook, StoragePrice, load_list_prices
from holdfast.economics.storing import read_amount
from holdfast.errors import ArchivedError, HoldfastError
from holdfast.replication.copying.needing import packs_of
from holdfast.stores.archives.port import Archived, Standing, archives_of
from holdfast.stores.protocol import Store
from holdfast.units import format_duration, format_size
from holdfast.vault.format.names import PACKS, pack_key
from holdfast.vault.vault import Vault

__all__ = ["ArchivedPacks", "archived_packs", "told_of_archives"]

_ROWS = {
    "GLACIER": "aws/s3-glacier-flexible",
    "DEEP_ARCHIVE": "aws/s3-deep-archive",
    "Archive": "azure/archive",
}
"""What a provider calls a class → its row of the price book, of whichever region that has one: the times are the same
everywhere, and the prices differ by little.
"""


class ArchivedPacks(NamedTuple):
    """Of what somebody needs: what lies in an archive. `packs`: those that are of an archive class and not readable.
    `seconds`: until the last one can be read, as published, from when it is asked for; None where that is not known.
    `cost`: of asking for what nobody asked for yet, and reading it.
    """

    store: str
    packs: tuple[Archived, ...]
    readable: int
    seconds: float | None
    cost: Cost | None

    @property
    def bytes(self) -> int:
        return sum(one.size for one in self.packs)

    @property
    def unasked(self) -> tuple[Archived, ...]:
        """Those that nobody asked for yet."""
        return tuple(one for one in self.packs if one.standing is Standing.ARCHIVED)

    @property
    def kinds(self) -> tuple[str, ...]:
        """As the provider calls them."""
        return tuple(sorted({one.kind for one in self.packs}))


def archived_packs(store: Store, needed: Mapping[str, int], book: PriceBook) -> ArchivedPacks | None:
    """What of these keys (key → bytes) lies in an archive of the store; None for a store that has no archives.

    Asks the provider: a listing, and a look at each archived object. Raises MissingExtraError, and as `Store`.
    """
    archives = archives_of(store)
    if archives is None:
        return None
    found = [one for one in archives.archived(PACKS) if one.key in needed]
    packs = tuple(one for one in found if one.standing is not Standing.READABLE)
    rows = {kind: _row(book, kind) for kind in {one.kind for one in packs}}
    known = [row for row in rows.values() if row is not None]
    seconds = max((row.first_byte_seconds for row in known), default=None) if len(known) == len(rows) else None
    unasked = [one for one in packs if one.standing is Standing.ARCHIVED]
    return ArchivedPacks(store.url, packs, len(found) - len(packs), seconds, _cost(book, unasked, rows))


@contextmanager
def told_of_archives(vault: Vault, reference: str) -> Iterator[None]:
    """What is raised because one pack lies in an archive says how many do, how long that takes, and what it costs."""
    try:
        yield
    except ArchivedError as error:
        raise _explained(vault, reference, error) from error


def _explained(vault: Vault, reference: str, error: ArchivedError) -> ArchivedError:
    handle = vault.handle.own
    try:
        root = vault.find(reference)
        needed = packs_of(handle, root, [info.key for info in handle.store.list(PACKS)])
        keys = {pack_key(pack): size for pack, size in needed.items()}
        found = archived_packs(handle.store, keys, load_list_prices())
    except HoldfastError as why:
        return ArchivedError(f"{error.message} ({why.message})", object_name=error.object_name)
    if found is None or not found.packs:
        return error
    asked = len(found.packs) - len(found.unasked)
    takes = "takes hours" if found.seconds is None else f"takes up to {format_duration(found.seconds)}"
    costs = "" if found.cost is None else f", and costs about {found.cost}"
    return ArchivedError(
        f"{root.asset}@{root.id} needs {len(found.packs)} packs of {format_size(found.bytes)} that lie in an archive "
        f"of {found.store} ({', '.join(found.kinds)}): getting them {takes}{costs}"
        f"{f'; {asked} of them were asked for' if asked else ''}",
        hint=f"`holdfast tier prewarm {root.asset}@{root.id} --site SITE` asks for them, waits, and copies them",
        object_name=error.object_name,
    )


def _row(book: PriceBook, kind: str) -> StoragePrice | None:
    return next((row for row in book.storage if row.name == _ROWS.get(kind)), None)


def _cost(book: PriceBook, packs: list[Archived], rows: Mapping[str, StoragePrice | None]) -> Cost | None:
    lines = []
    for kind, row in rows.items():
        if row is None:
            return None
        mine = [one for one in packs if one.kind == kind]
        amount = read_amount(book, row, sum(one.size for one in mine), len(mine))
        lines.append(CostLine(f"getting {len(mine)} objects from {row.name}", amount, row.confirmed))
    return cost_of(book, lines)
