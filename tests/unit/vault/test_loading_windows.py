"""Windows of bytes: what an index picks, which chunks hold it, and where it goes, against NumPy and brute force."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.vault.files.chunk_map import ChunkMap
from holdfast.vault.files.windows import Window, copy_window
from holdfast.vault.format.records import Entry
from holdfast.vault.tensors.selecting import select

SIZE = 200
BYTES = np.random.default_rng(1).integers(0, 256, SIZE, "u1")


@st.composite
def windows(draw: st.DrawFn) -> Window:
    runs, length, gap = draw(st.integers(1, 12)), draw(st.integers(1, 17)), draw(st.integers(0, 20))
    extent = (runs - 1) * (length + gap) + length
    if extent > SIZE:
        runs, extent = 1, length
    return Window(draw(st.integers(0, SIZE - extent)), runs, length + gap, length)


def places(window: Window) -> np.ndarray[Any, Any]:
    """The offset of every byte of a window, one by one."""
    return np.array(
        [window.start + run * window.stride + i for run in range(window.runs) for i in range(window.length)]
    )


@st.composite
def cut_files(draw: st.DrawFn) -> Entry:
    """A file of `SIZE` bytes in chunks of any length, with holes between."""
    edges = sorted({0, SIZE, *draw(st.lists(st.integers(0, SIZE), max_size=12))})
    runs, lengths = [], []
    for low, high in pairwise(edges):
        if draw(st.integers(0, 4)) == 0:
            runs.append((high - low, 3, 1, 0))
            continue
        middle = draw(st.integers(low, high))
        runs.append((high - low, 1, 1, 2))
        lengths += [middle - low, high - middle]
    ids = b"".join(number.to_bytes(32, "big") for number in range(len(lengths)))
    stored = b"".join(length.to_bytes(4, "little") for length in lengths)
    return Entry(b"f", "file", 0o644, 0, SIZE, runs=runs, chunks=ids, lengths=stored)


def spans(entry: Entry) -> list[tuple[int, int]]:
    found, offset, number = [], 0, 0
    for length, _, _, count in entry.runs:
        begin = offset
        for _ in range(count):
            size = int.from_bytes(entry.lengths[4 * number : 4 * number + 4], "little")
            found.append((begin, size))
            begin, number = begin + size, number + 1
        offset += length
    return found


@settings(max_examples=400, deadline=None)
@given(cut_files(), windows())
def test_a_window_is_put_together_from_the_chunks_that_hold_it_and_no_others(entry: Entry, window: Window) -> None:
    wanted = places(window)
    covering = ChunkMap(entry).covering(window)
    needed = [
        (offset, size, number.to_bytes(32, "big"))
        for number, (offset, size) in enumerate(spans(entry))
        if ((wanted >= offset) & (wanted < offset + size)).any()
    ]
    assert [tuple(chunk) for chunk in covering] == needed
    target = np.zeros(window.size, "u1")
    copied = sum(copy_window(window, BYTES[o : o + n].copy(), o, target) for o, n, _ in covering)
    held = np.zeros(SIZE, "?")
    for offset, size in spans(entry):
        held[offset : offset + size] = True
    assert copied == held[wanted].sum()
    assert np.array_equal(target, np.where(held[wanted], BYTES[wanted], 0))


@pytest.mark.parametrize("shape", [(), (7,), (4, 5), (3, 4, 5), (2, 3, 2, 4), (0, 3), (3, 0, 2), (1, 6, 1)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_no_byte_between_is_in_the_windows_of_a_plain_index(shape: tuple[int, ...], order: Any) -> None:
    array = np.asarray(np.arange(int(np.prod(shape)), dtype="<u4").reshape(shape), order=order)
    flat = np.frombuffer(array.tobytes(order="A"), "u1")
    rng = np.random.default_rng(2)

    def pick(size: int) -> Any:
        if size and rng.integers(3) == 0:
            return int(rng.integers(-size, size))
        low, high = rng.integers(-size - 1, size + 2, 2)
        return slice(int(low), int(high), int(rng.choice([1, 1, 2, 3, -1, -2])))

    for _ in range(150):
        key = tuple(pick(size) for size in shape)
        selection = select(shape, 4, order == "F" and array.ndim > 1, key)
        assert selection.size == array[key].nbytes and selection.shape == array[key].shape
        data = np.concatenate([flat[places(w)] for w in selection.windows] or [np.empty(0, "u1")])
        assert np.array_equal(selection.of(data, array.dtype), array[key])
        if selection.direct and array[key].size:
            assert np.ascontiguousarray(array[key]).tobytes() == data.tobytes()


@pytest.mark.parametrize("fortran", [False, True])
def test_too_many_windows_become_wider_ones(fortran: bool) -> None:
    stored = np.arange(100 * 101 * 22 * 4, dtype="<u4").reshape(100, 101, 22, 4)
    array = stored.T if fortran else stored
    key: tuple[Any, ...] = (slice(1, 99, 2), slice(90, 2, -3), slice(3, 20, 5), -1)
    key = key[::-1] if fortran else key
    selection = select(array.shape, 4, fortran, key)
    assert len(selection.windows) == 1 and not selection.direct
    flat = np.frombuffer(stored.tobytes(), "u1")
    assert np.array_equal(selection.of(flat[places(selection.windows[0])], array.dtype), array[key])
    assert selection.shape == array[key].shape
