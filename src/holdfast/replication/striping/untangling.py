"""Which shards lie: all of them hash to what they say themselves, and the pack that they make is another one."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from blake3 import blake3

from holdfast.errors import DamageError, HoldfastError
from holdfast.replication.striping.erasure import Column, reconstruct
from holdfast.replication.striping.shards import Cut, column_of, parse_shard, shard_of
from holdfast.replication.striping.sites import Member, Sites

__all__ = ["fetch_columns", "find_liars", "joined_columns", "untangle"]


def untangle(sites: Sites, key: str, cut: Cut) -> tuple[bytes, list[int]]:
    """The pack from those shards that make what its id says, and the shards that differ from theirs.

    Raises DamageError when no k of them do.
    """
    columns, wrong = fetch_columns(sites, key, cut)
    found = find_liars(key, cut, columns)
    if found is None:
        names = ", ".join(member.name for member in sites.ready())
        raise DamageError(
            f"{key} is damaged: no {cut.k} of its shards at {names} make what its name says", object_name=key
        )
    columns, liars = found
    return joined_columns(cut, columns), sorted({*liars, *wrong})


def fetch_columns(sites: Sites, key: str, cut: Cut) -> tuple[dict[int, Column], dict[int, HoldfastError]]:
    """The columns of all shards that can be had and hash to what they say, and what is wrong with the others."""

    def fetch(member: Member) -> Column:
        shard = shard_of(key, cut, member.position)
        return column_of(parse_shard(shard, member.store.get(shard.key)), cut.width)

    columns: dict[int, Column] = {}
    wrong: dict[int, HoldfastError] = {}
    for outcome in sites.each(sites.ready(), fetch):
        if outcome.value is not None:
            columns[outcome.member.position] = outcome.value
        elif outcome.error is not None:
            wrong[outcome.member.position] = outcome.error
    return columns, wrong


def find_liars(key: str, cut: Cut, columns: Mapping[int, Column]) -> tuple[dict[int, Column], list[int]] | None:
    """All n columns as they must be, and which of those given differ. None when no k of them make the pack."""
    for chosen in combinations(sorted(columns), cut.k):
        right = complete(cut, {number: columns[number] for number in chosen})
        if blake3(joined_columns(cut, right)).hexdigest() == key.rpartition("/")[2]:
            return right, [number for number in columns if (columns[number] != right[number]).any()]
    return None


def complete(cut: Cut, columns: Mapping[int, Column]) -> dict[int, Column]:
    """All n columns, from k of them."""
    lost = [number for number in range(cut.n) if number not in columns]
    return {**columns, **reconstruct(cut.k, cut.n, columns, lost)}


def joined_columns(cut: Cut, columns: Mapping[int, Column]) -> bytes:
    """The pack's bytes out of its data columns."""
    return b"".join(columns[number].data[: cut.payload_bytes(number)] for number in range(cut.k))
