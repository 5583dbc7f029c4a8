"""The tree of the audit log against another implementation (pymerkle) and against RFC 6962, at all sizes."""

from __future__ import annotations

from functools import lru_cache

import pymerkle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.audit.merkle import (
    EMPTY_ROOT,
    Node,
    consistency_proof,
    hash_leaf,
    inclusion_proof,
    root_at,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from holdfast.audit.tiles import Frontier, Tile, bundle_path, decode_bundle, encode_bundle, tile_path, tiles_of
from holdfast.errors import DamageError, UsageError

SIZE_MAX = 3_000
# RFC 6962 has no vectors; these are those of the Certificate Transparency reference implementation, for these leaves.
_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
_ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}

sizes = st.integers(0, SIZE_MAX)


@lru_cache(maxsize=1)
def _leaves() -> list[bytes]:
    return [hash_leaf(b"entry %d" % number) for number in range(SIZE_MAX)]


@lru_cache(maxsize=1)
def _other() -> pymerkle.InmemoryTree:
    return pymerkle.InmemoryTree.init_from_entries(
        [b"entry %d" % number for number in range(SIZE_MAX)], algorithm="sha256"
    )


@lru_cache(maxsize=1)
def _levels() -> list[list[bytes]]:
    levels = [_leaves()]
    while len(levels[-1]) > 1:
        level = levels[-1]
        levels.append([root_of(level[at : at + 2]) for at in range(0, len(level) - 1, 2)])
    return levels


def _root(size: int) -> bytes:
    return root_of(_leaves()[:size])


def _node(size: int) -> Node:
    return lambda level, index: _levels()[level][index]


_CONSISTENCY = {
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


@pytest.mark.parametrize("sizes", sorted(_CONSISTENCY))
def test_published_consistency_proofs(sizes: tuple[int, int]) -> None:
    leaves = [hash_leaf(bytes.fromhex(one)) for one in _LEAVES]
    old, new = sizes
    proof = consistency_proof(old, new, lambda level, index: root_of(leaves[index << level : (index + 1) << level]))
    assert [one.hex() for one in proof] == _CONSISTENCY[sizes]
    verify_consistency(old, new, root_of(leaves[:old]), root_of(leaves[:new]), proof)


@pytest.mark.parametrize("size", sorted(_ROOTS))
def test_published_roots(size: int) -> None:
    leaves = [hash_leaf(bytes.fromhex(one)) for one in _LEAVES[:size]]
    assert root_of(leaves).hex() == _ROOTS[size]
    frontier = Frontier()
    list(frontier.grow(leaves))
    assert frontier.root().hex() == _ROOTS[size]


def test_a_proof_that_ends_before_the_top_proves_nothing() -> None:
    """Else the hash of a subtree could pass for a leaf."""
    root = _root(2)
    with pytest.raises(DamageError):
        verify_inclusion(root, 0, 2, [], root)


def test_the_empty_tree() -> None:
    assert root_of([]) == Frontier().root() == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(sizes)
@settings(max_examples=60, deadline=None)
def test_roots_agree_with_another_implementation(size: int) -> None:
    frontier = Frontier()
    list(frontier.grow(_leaves()[:size]))
    assert frontier.root() == _root(size) == root_at(size, _node(size))
    if size:
        assert _root(size) == _other().get_root(size)


@given(st.integers(1, SIZE_MAX), st.data())
@settings(max_examples=60, deadline=None)
def test_inclusion_proofs_agree_and_prove_nothing_else(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaf, proof = _leaves()[index], inclusion_proof(index, size, _node(size))
    verify_inclusion(leaf, index, size, proof, _root(size))
    other = _other().prove_inclusion(index + 1, size)
    assert sorted(other.path) == sorted([leaf, *proof])
    wrong = data.draw(st.integers(0, size))
    if wrong != index:
        with pytest.raises(DamageError):
            verify_inclusion(leaf, wrong, size, proof, _root(size))
    with pytest.raises(DamageError):
        verify_inclusion(hash_leaf(b"another"), index, size, proof, _root(size))
    if proof:
        broken = list(proof)
        broken.pop(data.draw(st.integers(0, len(proof) - 1)))
        with pytest.raises(DamageError):
            verify_inclusion(leaf, index, size, broken, _root(size))
    with pytest.raises(DamageError):
        verify_inclusion(leaf, index, size, [*proof, bytes(32)], _root(size))


@given(sizes, sizes, st.data())
@settings(max_examples=60, deadline=None)
def test_consistency_proofs_agree_and_prove_nothing_else(one: int, two: int, data: st.DataObject) -> None:
    old, new = sorted((one, two))
    proof = consistency_proof(old, new, _node(new))
    verify_consistency(old, new, _root(old), _root(new), proof)
    if 0 < old < new:
        # Its proofs have a form of their own (they begin at a leaf): what it proves is that our roots are consistent.
        pymerkle.verify_consistency(_root(old), _root(new), _other().prove_consistency(old, new))
        with pytest.raises(DamageError):
            verify_consistency(old, new, bytes(32), _root(new), proof)
        with pytest.raises(DamageError):
            verify_consistency(old, new, _root(old), bytes(32), proof)
        broken = list(proof)
        at = data.draw(st.integers(0, len(proof) - 1))
        broken[at] = bytes(32)
        with pytest.raises(DamageError):
            verify_consistency(old, new, _root(old), _root(new), broken)
        with pytest.raises(DamageError):
            verify_consistency(old, new, _root(old), _root(new), proof[:-1])
    with pytest.raises(DamageError):
        verify_consistency(old, new, _root(old), _root(new), [*proof, bytes(32)])


@given(st.lists(st.integers(0, 700), max_size=5))
@settings(max_examples=25, deadline=None)
def test_tiles_are_those_of_the_size_however_it_was_reached(steps: list[int]) -> None:
    frontier, written, size = Frontier(), {}, 0
    for step in steps:
        new = min(SIZE_MAX, size + step)
        written |= dict(frontier.grow(_leaves()[size:new]))
        written |= dict(frontier.partial())
        size = new
    for tile in tiles_of(size):
        first = tile.number * 256
        assert written[tile] == b"".join(
            root_of(_leaves()[at << 8 * tile.level : (at + 1) << 8 * tile.level])
            for at in range(first, first + tile.width)
        )


def test_tiles_of_the_specifications_examples() -> None:
    tiles = list(tiles_of(70_000))
    assert sum(one.level == 0 and one.width == 256 for one in tiles) == 273
    assert [one for one in tiles if one.width < 256] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(tiles_of(256)) == [Tile(0, 0, 256), Tile(1, 0, 1)]
    assert tile_path(Tile(0, 1_234_067, 256)) == "tile/0/x001/x234/067"
    assert tile_path(Tile(63, 0, 5)) == "tile/63/000.p/5"
    assert bundle_path(1_234_067, 7) == "tile/entries/x001/x234/067.p/7"
    for wrong in (0, 257):
        with pytest.raises(UsageError):
            tile_path(Tile(0, 0, wrong))


@given(st.lists(st.binary(max_size=300), max_size=30))
def test_bundles_give_back_their_entries(entries: list[bytes]) -> None:
    data = encode_bundle(entries)
    assert decode_bundle(data, len(entries), "x") == entries
    if data:
        with pytest.raises(DamageError):
            decode_bundle(data[:-1], len(entries), "x")
    with pytest.raises(DamageError):
        decode_bundle(data, len(entries) + 1, "x")


def test_an_entry_has_at_most_65535_bytes() -> None:
    assert decode_bundle(encode_bundle([bytes(65_535)]), 1, "x") == [bytes(65_535)]
    with pytest.raises(UsageError):
        encode_bundle([bytes(65_536)])
