"""Planes that are nearly all zeros: coded small, read back exactly, and never believed."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import DamageError
from holdfast.vault.codecs import Codec, decode, encode
from holdfast.vault.codecs.sparse import DENSEST, Plane, press_sparse, sparse_bound, spread_sparse
from holdfast.vault.regions.model import Element, Kind


def pressed(plane: Plane) -> bytes | None:
    out = memoryview(bytearray(sparse_bound(plane.size)))
    length = press_sparse(plane, out)
    return None if length is None else bytes(out[:length])


def spread(stored: bytes, size: int) -> Plane:
    plane = np.full(size, 77, np.uint8)  # what was there before must not show
    spread_sparse(memoryview(stored), plane, "the plane")
    return plane


def sparse(size: int, places: list[int], value: int = 1) -> Plane:
    plane = np.zeros(size, np.uint8)
    plane[places] = value
    return plane


@pytest.mark.parametrize(
    ("size", "places"),
    [
        (1, []),
        (16, [0]),
        (16, [15]),
        (600, [254]),
        (600, [255]),
        (600, [256, 511]),
        (5000, [0, 1, 256, 512, 767, 768, 1023, 4999]),
        (1 << 18, [(1 << 18) - 1]),
        ((1 << 18) + 1, [1 << 18]),
        (3 << 18, [5, (1 << 18) - 1, 1 << 18, (3 << 18) - 1]),  # a block without any
    ],
)
def test_planes_come_back(size: int, places: list[int]) -> None:
    plane = sparse(size, places, 200)
    stored = pressed(plane)
    assert stored is not None
    assert len(stored) <= sparse_bound(size)
    assert (spread(stored, size) == plane).all()


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 200_000), st.integers(0, 400), st.integers(0, 2**32 - 1))
def test_any_plane_comes_back_or_is_too_dense(size: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    plane = np.zeros(size, np.uint8)
    plane[rng.integers(0, size, count)] = rng.integers(0, 256, count)
    stored = pressed(plane)
    assert (stored is None) == (np.count_nonzero(plane) > size // DENSEST)
    if stored is not None:
        assert (spread(stored, size) == plane).all()


def test_random_places_take_little_more_than_their_entropy() -> None:
    rng = np.random.default_rng(5)
    plane = np.zeros(1 << 20, np.uint8)
    plane[rng.integers(0, plane.size, plane.size // 40)] = 1
    share = np.count_nonzero(plane) / plane.size
    entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share)) / 8
    stored = pressed(plane)
    assert stored is not None
    assert entropy < len(stored) / plane.size < 1.05 * entropy


def test_the_encoder_takes_it_for_the_high_bytes_of_a_delta() -> None:
    rng = np.random.default_rng(6)
    base = rng.integers(0, 1 << 15, 1 << 18).astype("<u2")
    new = base + (rng.random(base.size) < 0.5).astype("<u2") + 300 * (rng.random(base.size) < 0.01).astype("<u2")
    encoded = encode(new.tobytes(), Element(Kind.INT, 2), base.tobytes())
    assert encoded.codec is Codec.DELTA
    assert bytes(encoded.payload)[5] == 2  # the method of the second plane
    assert decode(3, Element(Kind.INT, 2), encoded.payload, new.nbytes, base.tobytes()) == new.tobytes()


def test_a_plane_denser_than_its_sample_is_stored_all_the_same() -> None:
    """The sample's slices see zeros, and between them everything is full."""
    elements = np.zeros(1 << 20, "<u2")
    elements[8192:100_000] = np.random.default_rng(7).integers(1, 1 << 16, 100_000 - 8192)
    encoded = encode(elements.tobytes(), Element(Kind.INT, 2))
    assert decode(encoded.codec, Element(Kind.INT, 2), encoded.payload, elements.nbytes) == elements.tobytes()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_foreign_bytes_are_damage_or_a_plane(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 3000))
    places = data.draw(st.lists(st.integers(0, size - 1), max_size=size // DENSEST, unique=True))
    stored = bytearray(pressed(sparse(size, places, 9)) or b"\0\0\0\0")
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["flip", "cut", "add"]))
        if kind == "flip" and stored:
            stored[data.draw(st.integers(0, len(stored) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del stored[data.draw(st.integers(0, len(stored))) :]
        else:
            stored += data.draw(st.binary(max_size=8))
    with contextlib.suppress(DamageError):
        assert spread(bytes(stored), size).size == size


@given(st.binary(max_size=64))
def test_noise_is_damage_or_a_plane(stored: bytes) -> None:
    with contextlib.suppress(DamageError):
        spread(stored, 100)
