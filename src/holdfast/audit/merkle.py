"""The Merkle tree of RFC 6962: hashes, roots, proofs of inclusion and of consistency, and how they are verified.

SHA-256 throughout; a hash has 32 bytes. Proofs are made as RFC 6962, sections 2.1.1 and 2.1.2, says, and verified as
RFC 9162, sections 2.1.3.2 and 2.1.4.2. Who makes a proof hands in `node`: `node(level, index)` is the root of the
complete subtree over the leaves `index * 2**level` up to `(index + 1) * 2**level`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TypeAlias

from holdfast.errors import DamageError, UsageError

__all__ = [
    "HASH_SIZE",
    "EMPTY_ROOT",
    "Node",
    "hash_leaf",
    "hash_children",
    "root_of",
    "complete_subtrees",
    "root_at",
    "inclusion_proof",
    "consistency_proof",
    "verify_inclusion",
    "verify_consistency",
]

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()
PROOF_HASHES_MAX = 64  # a tree has fewer than 2**63 leaves

Node: TypeAlias = Callable[[int, int], bytes]


def hash_leaf(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry)."""
    return sha256(b"\0" + entry).digest()


def hash_children(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return sha256(b"\1" + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes (of a complete subtree: over the hashes of one of its levels)."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        pairs = [hash_children(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) & ~1 :]  # an odd one goes up as it is: the tree of RFC 6962
    return level[0]


def complete_subtrees(start: int, end: int) -> list[tuple[int, int]]:
    """The fewest complete subtrees (level, index) that make up the leaves from `start` up to `end`, from the left."""
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        found.append((level, start >> level))
        start += 1 << level
    return found


def root_at(size: int, node: Node) -> bytes:
    """The root of the tree of the first `size` leaves."""
    return EMPTY_ROOT if size == 0 else _subtree(0, size, node)


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """The hashes beside the way from leaf `index` up to the root of `size` leaves, the lowest first. UsageError."""
    if not 0 <= index < size:
        raise UsageError(f"entry {index} is not in a log of {size} entries")
    start, end = 0, size
    beside = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            beside.append(_subtree(middle, end, node))
            end = middle
        else:
            beside.append(_subtree(start, middle, node))
            start = middle
    return beside[::-1]


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """That the tree of `new` leaves begins with that of `old` leaves. Empty where they are equal, or `old` is 0."""
    if not 0 <= old <= new:
        raise UsageError(f"a log of {new} entries has no earlier state of {old}")
    if old in (0, new):
        return []
    start, end = 0, new
    beside = []
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            beside.append(_subtree(middle, end, node))
            end = middle
        else:
            beside.append(_subtree(start, middle, node))
            start = middle
    if start:  # else the verifier knows it: it is the old root
        beside.append(_subtree(start, end, node))
    return beside[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """That the leaf hash `leaf` is at `index` of the tree of `size` leaves with that root. Raises DamageError."""
    if not 0 <= index < size:
        raise DamageError(f"a proof for entry {index} of a log of {size} entries proves nothing")
    here, last, reached = index, size - 1, leaf
    for beside in proof:
        if last == 0 or len(beside) != HASH_SIZE:
            raise DamageError(f"the proof for entry {index} is malformed")
        if here & 1 or here == last:
            reached = hash_children(beside, reached)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            reached = hash_children(reached, beside)
        here, last = here >> 1, last >> 1
    if last or reached != root:
        raise DamageError(f"entry {index} is not in the log of {size} entries whose root was signed")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """That the tree of `new` leaves begins with the tree of `old` leaves. Raises DamageError."""
    problem = DamageError(f"the log of {new} entries does not begin with the log of {old} entries that was seen before")
    if not 0 <= old <= new or any(len(one) != HASH_SIZE for one in proof):
        raise problem
    if old in (0, new):
        same = old_root == EMPTY_ROOT if old == 0 else old_root == new_root
        if proof or not same:
            raise problem
        return
    hashes = list(proof)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        raise problem
    here, last = old - 1, new - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    old_reached = new_reached = hashes[0]
    for beside in hashes[1:]:
        if last == 0:
            raise problem
        if here & 1 or here == last:
            old_reached = hash_children(beside, old_reached)
            new_reached = hash_children(beside, new_reached)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            new_reached = hash_children(new_reached, beside)
        here, last = here >> 1, last >> 1
    if last or old_reached != old_root or new_reached != new_root:
        raise problem


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def _subtree(start: int, end: int, node: Node) -> bytes:
    """The root over the leaves from `start` up to `end`, which RFC 6962 splits as a tree of its own."""
    *left, (level, index) = complete_subtrees(start, end)
    reached = node(level, index)
    for level, index in reversed(left):
        reached = hash_children(node(level, index), reached)
    return reached
