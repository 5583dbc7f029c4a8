"""Ranges, buffers and keys: the small pure parts that all adapters share."""

from __future__ import annotations

import itertools
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import DamageError, UsageError
from holdfast.stores.buffers import as_views, joined, total_size
from holdfast.stores.keys import check_key, is_key
from holdfast.stores.ranges import cut, merged
from holdfast.testing.store_contract import ILLEGAL_KEYS, LEGAL_KEYS

ranges = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 50)), max_size=20)


@given(ranges, st.integers(0, 30))
def test_merged_ranges_cover_everything_and_leave_larger_gaps(wanted: list[tuple[int, int]], gap: int) -> None:
    spans = merged(wanted, gap)
    for start, length in wanted:
        assert any(first <= start and start + length <= first + size for first, size in spans)
    for (first, size), (following, _) in itertools.pairwise(spans):
        assert following > first + size + gap
    starts = {start for start, _ in wanted}
    ends = {start + length for start, length in wanted}
    assert all(first in starts and first + size in ends for first, size in spans)


@given(ranges)
def test_without_gaps_nothing_is_read_that_nobody_asked_for(wanted: list[tuple[int, int]]) -> None:
    asked = {byte for start, length in wanted for byte in range(start, start + length)}
    assert sum(size for _, size in merged(wanted, 0)) == len(asked)


@given(st.binary(max_size=100), st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), max_size=10))
def test_cut_gives_the_bytes_or_says_damage(content: bytes, wanted: list[tuple[int, int]]) -> None:
    if all(start + length <= len(content) for start, length in wanted):
        assert cut("name", content, wanted) == [content[start:][:length] for start, length in wanted]
    else:
        with pytest.raises(DamageError):
            cut("name", content, wanted)


@given(st.lists(st.one_of(st.binary(), st.binary().map(bytearray), st.binary().map(memoryview))))
def test_buffers_are_seen_as_their_bytes_in_order(buffers: list[bytes]) -> None:
    whole = b"".join(buffers)
    assert b"".join(as_views(buffers)) == joined(buffers) == whole
    assert total_size(buffers) == len(whole)


def test_views_are_no_copies() -> None:
    buffer = bytearray(b"content")
    (view,) = as_views(buffer)
    buffer[0] = ord("C")
    assert bytes(view) == b"Content"
    content = b"content"
    assert joined(content) is content


def test_strided_buffers_are_refused() -> None:
    with pytest.raises(UsageError):
        as_views(memoryview(b"content")[::2])


@pytest.mark.parametrize("key", LEGAL_KEYS)
def test_legal_keys(key: str) -> None:
    assert is_key(key)
    check_key(key)


@pytest.mark.parametrize("key", ILLEGAL_KEYS)
def test_illegal_keys(key: str) -> None:
    assert not is_key(key)
    with pytest.raises(UsageError) as caught:
        check_key(key)
    assert caught.value.hint
    assert len(str(caught.value)) < 200


@given(st.text(alphabet=string.printable + "ä", max_size=12))
def test_a_key_can_never_leave_its_folder(text: str) -> None:
    if is_key(text):
        assert not text.startswith("/")
        assert ".." not in text.split("/")
        assert text.isascii()
        assert text == "/".join(part for part in text.split("/") if part)
