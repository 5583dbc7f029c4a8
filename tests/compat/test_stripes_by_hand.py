"""docs/format/stripes.md is enough: packs are put together from what two of three sites hold, without the package."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
from blake3 import blake3

from holdfast.replication.striping import StripedStore, create_stripes
from holdfast.stores.local import LocalStore
from holdfast.testing.striped_sites import pack_of


def product(left: int, right: int) -> int:
    result = 0
    while right:
        if right & 1:
            result ^= left
        left = left << 1 ^ (0x11D if left & 0x80 else 0)
        right >>= 1
    return result


def power(exponent: int) -> int:
    result = 1
    for _ in range(exponent):
        result = product(result, 2)
    return result


def columns_at(sites: list[Path]) -> tuple[str, int, int, int, dict[int, bytes]]:
    """Of the only pack: id, size, k, n and column by number, from the folders."""
    found: dict[int, bytes] = {}
    for site in sites:
        record = json.loads((site / "stripes/layout/0000000001").read_text())
        (path,) = (site / "shards").rglob("*-*")
        pack, size, k, n, number = path.name.split("-")
        data = path.read_bytes()
        assert data[:12] == b"HFSTRIPE" + bytes([1, int(k), int(n), int(number)])
        assert (record["k"], record["n"], record["position"]) == (int(k), int(n), int(number))
        assert int.from_bytes(data[16:24], "little") == int(size) and data[24:56].hex() == pack
        assert blake3(data[:-32]).digest() == data[-32:]
        width = -(-int(size) // (64 * int(k))) * 64
        held = width if int(number) >= int(k) else min(max(int(size) - int(number) * width, 0), width)
        blocks = -(-held // 65536)
        payload = data[64 + 16 * blocks : -32]
        assert len(payload) == held
        entries = b"".join(blake3(payload[at : at + 65536]).digest(16) for at in range(0, held, 65536))
        assert entries == data[64 : 64 + 16 * blocks]
        found[int(number)] = payload.ljust(width, b"\0")
    return pack, int(size), int(k), int(n), found


def solve(k: int, columns: dict[int, bytes]) -> list[bytes]:
    """The data columns: Gauss's elimination, byte by byte of the coefficients."""
    rows = []
    for number, column in sorted(columns.items())[:k]:
        factors = [int(number == i) if number < k else power((number - k) * i) for i in range(k)]
        rows.append((factors, column))
    for i in range(k):
        pivot = next(row for row in range(i, k) if rows[row][0][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        factors, column = rows[i]
        inverse = next(value for value in range(1, 256) if product(value, factors[i]) == 1)
        rows[i] = scaled(inverse, factors), bytes(scaled(inverse, column))
        for other in range(k):
            factor = rows[other][0][i]
            if other != i and factor:
                rows[other] = (
                    [a ^ b for a, b in zip(rows[other][0], scaled(factor, rows[i][0]), strict=True)],
                    bytes(a ^ b for a, b in zip(rows[other][1], scaled(factor, rows[i][1]), strict=True)),
                )
    return [column for _, column in rows]


def scaled(factor: int, values: bytes | list[int]) -> list[int]:
    table = [product(factor, value) for value in range(256)]
    return [table[value] for value in values]


@pytest.mark.parametrize(("k", "n"), [(2, 3), (3, 5), (3, 6)])
def test_a_pack_is_put_together_by_hand(k: int, n: int, tmp_path: Path) -> None:
    sites = [tmp_path / str(position) for position in range(n)]
    key, data = pack_of(3000)
    create_stripes([LocalStore(site) for site in sites], k)
    StripedStore([LocalStore(site) for site in sites], whole_below=0).put(key, data)
    for chosen in combinations(range(n), k):
        pack, size, _, _, columns = columns_at([sites[position] for position in chosen])
        assert f"packs/{pack[:2]}/{pack}" == key
        whole = b"".join(solve(k, columns))[:size]
        assert blake3(whole).hexdigest() == pack and whole == data, chosen
