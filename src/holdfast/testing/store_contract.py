"""What every store must do, as tests. A new store subclasses `StoreContract` and gives it a fixture named `store`::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self) -> Store:
            return MyStore(...)  # empty, and used by one test only

Each test is one sentence of `holdfast.stores.protocol`. This module needs pytest; nothing else in `holdfast.testing`
does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ClassVar

import pytest

from holdfast.clock import SYSTEM_CLOCK
from holdfast.errors import AlreadyExistsError, DamageError, ObjectNotFoundError, UsageError
from holdfast.stores.keys import KEY_LENGTH_MAX, SEGMENT_LENGTH_MAX
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store

__all__ = ["StoreContract", "LEGAL_KEYS", "ILLEGAL_KEYS"]

_MIB = 1 << 20

LEGAL_KEYS = (
    "a",
    "0",
    "_",
    "-",
    "-rf",
    ".hidden",
    "..two-dots",
    "...a/..b",
    "A.b-C_d.9",
    "con",
    "index.html",
    "packs/ab/" + "abcd" * 16,
    "x" * SEGMENT_LENGTH_MAX,
    "/".join("deep" for _ in range(40)),
    "/".join(["y" * 127] * 4) + "z",
)
ILLEGAL_KEYS = (
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/..",
    "../a",
    "a/../b",
    "a/./b",
    "a.",
    "a./b",
    "a b",
    "a\tb",
    "a\n",
    "a\0b",
    "a\\b",
    "~a",
    "a%2Fb",
    "a?b",
    "a#b",
    "a:b",
    "ä",
    "a/\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}",
    "x" * (SEGMENT_LENGTH_MAX + 1),
    "a/" * (KEY_LENGTH_MAX // 2) + "b",
)


class StoreContract:
    """The contract. `store` must be empty, and no other test may use it."""

    clock_skew_seconds: ClassVar[float] = 60.0  # by how much the store's clock may differ from ours

    @pytest.fixture
    def store(self) -> Store:
        """The store under test: to be given by the subclass."""
        raise NotImplementedError

    # ---- writing and reading a whole object ----

    @pytest.mark.parametrize(
        "data",
        [
            b"content",
            bytearray(b"content"),
            memoryview(b"content"),
            memoryview(b"--content--")[2:-2],
            [b"con", b"tent"],
            (bytearray(b"c"), b"", memoryview(b"ont"), b"ent", b""),
        ],
        ids=["bytes", "bytearray", "memoryview", "part of a memoryview", "list", "tuple with empty ones"],
    )
    @pytest.mark.parametrize("verb", ["put", "create"])
    def test_what_was_written_is_read(self, store: Store, verb: str, data: Buffer | list[Buffer]) -> None:
        written = _writer(store, verb)("folder/name", data)
        assert store.get("folder/name") == b"content"
        assert (written.key, written.size) == ("folder/name", 7)

    @pytest.mark.parametrize("data", [b"", bytearray(), [], [b"", b""]], ids=["bytes", "bytearray", "none", "two"])
    @pytest.mark.parametrize("verb", ["put", "create"])
    def test_an_object_may_be_empty(self, store: Store, verb: str, data: Buffer | list[Buffer]) -> None:
        assert _writer(store, verb)("empty", data).size == 0
        assert store.get("empty") == b""
        assert store.head("empty").size == 0
        assert [info.size for info in store.list("")] == [0]

    def test_many_small_buffers_are_written_one_after_the_other(self, store: Store) -> None:
        pieces = [bytes([number % 251]) * (number % 7) for number in range(3000)]
        store.put("pieces", pieces)
        assert store.get("pieces") == b"".join(pieces)

    @pytest.mark.parametrize("verb", ["put", "create"])
    def test_buffers_may_be_used_again_after_writing(self, store: Store, verb: str) -> None:
        buffer = bytearray(b"first")
        _writer(store, verb)("name", buffer)
        buffer[:] = b"other"
        assert store.get("name") == b"first"

    def test_buffers_of_wider_elements_are_written_as_their_bytes(self, store: Store) -> None:
        store.put("wide", memoryview(bytes(range(16))).cast("I"))
        assert store.get("wide") == bytes(range(16))

    def test_get_gives_bytes(self, store: Store) -> None:
        store.put("name", b"content")
        assert type(store.get("name")) is bytes
        assert [type(piece) for piece in store.get_ranges("name", [(0, 1), (2, 2)])] == [bytes, bytes]

    def test_put_again_changes_nothing(self, store: Store) -> None:
        store.put("name", b"content")
        store.put("name", b"content")
        assert store.get("name") == b"content"
        assert [info.key for info in store.list("")] == ["name"]

    def test_readers_see_all_of_an_object_or_nothing(self, store: Store) -> None:
        content = os.urandom(3 * _MIB)

        def write() -> None:
            for _ in range(4):
                store.put("name", content)

        def read() -> int:
            seen = 0
            for _ in range(12):
                with suppress(ObjectNotFoundError):
                    assert store.get("name") == content
                    assert store.head("name").size == len(content)
                    seen += 1
            return seen

        with ThreadPoolExecutor(4) as pool:
            writers = [pool.submit(write) for _ in range(2)]
            readers = [pool.submit(read) for _ in range(2)]
            for each in writers + readers:
                each.result()
        assert store.get("name") == content

    def test_several_threads_work_at_once(self, store: Store) -> None:
        def work(number: int) -> bool:
            content = bytes([number]) * (1000 + number)
            store.put(f"threads/{number}", content)
            return store.get(f"threads/{number}") == content and store.get_ranges(f"threads/{number}", [(999, 1)]) == [
                bytes([number])
            ]

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(48)))

    # ---- create-if-absent ----

    def test_create_refuses_a_name_that_is_taken(self, store: Store) -> None:
        store.create("name", b"first")
        with pytest.raises(AlreadyExistsError):
            store.create("name", b"second")
        with pytest.raises(AlreadyExistsError):
            store.create("name", b"first")
        assert store.get("name") == b"first"

    def test_create_refuses_a_name_that_put_took(self, store: Store) -> None:
        store.put("name", b"first")
        with pytest.raises(AlreadyExistsError):
            store.create("name", b"second")
        assert store.get("name") == b"first"

    @pytest.mark.parametrize("turn", range(2))
    def test_of_sixteen_creators_exactly_one_wins(self, store: Store, turn: int) -> None:
        def create(number: int) -> bytes | None:
            content = f"written by {number} in turn {turn}".encode() * 100
            try:
                store.create("refs/1", content)
            except AlreadyExistsError:
                return None
            return content

        with ThreadPoolExecutor(16) as pool:
            winners = [content for content in pool.map(create, range(16)) if content is not None]
        assert len(winners) == 1
        assert store.get("refs/1") == winners[0]

    def test_a_loser_can_read_the_winner_at_once(self, store: Store) -> None:
        def create(number: int) -> bytes:
            try:
                store.create("refs/1", str(number).encode())
            except AlreadyExistsError:
                return store.get("refs/1")
            return str(number).encode()

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(create, range(8)))) == 1

    def test_create_takes_64_mib_and_no_more(self, store: Store) -> None:
        content = bytes(64 * _MIB)
        with pytest.raises(UsageError):
            store.create("too-large", [content, b"x"])
        assert list(store.list("")) == []
        assert store.create("large", content).size == 64 * _MIB
        assert store.head("large").size == 64 * _MIB

    # ---- ranges ----

    def test_ranges_come_in_the_order_asked_for(self, store: Store) -> None:
        content = os.urandom(2 * _MIB)
        store.put("name", content)
        ranges = [(2 * _MIB - 5, 5), (0, 1), (1, 3), (1, 3), (2, 700_000), (1_500_000, 10), (7, 0), (2 * _MIB, 0)]
        assert store.get_ranges("name", ranges) == [content[start : start + length] for start, length in ranges]
        assert store.get_ranges("name", [(0, len(content))]) == [content]

    def test_no_ranges_give_nothing(self, store: Store) -> None:
        store.put("name", b"content")
        assert store.get_ranges("name", []) == []

    @pytest.mark.parametrize("wanted", [(0, 8), (6, 2), (7, 1), (100, 5), (500_000, 5), (8, 0)])
    def test_a_range_past_the_end_is_damage(self, store: Store, wanted: tuple[int, int]) -> None:
        store.put("name", b"content")
        with pytest.raises(DamageError) as caught:
            store.get_ranges("name", [(0, 2), wanted])
        assert caught.value.object_name == "name"

    def test_an_empty_object_has_only_the_empty_range(self, store: Store) -> None:
        store.put("empty", b"")
        assert store.get_ranges("empty", [(0, 0)]) == [b""]
        with pytest.raises(DamageError):
            store.get_ranges("empty", [(0, 1)])

    @pytest.mark.parametrize("wanted", [(-1, 2), (0, -1)])
    def test_negative_ranges_make_no_sense(self, store: Store, wanted: tuple[int, int]) -> None:
        store.put("name", b"content")
        with pytest.raises(UsageError):
            store.get_ranges("name", [wanted])

    # ---- what is not there ----

    @pytest.mark.parametrize("key", ["nothing", "folder/nothing", "folder", "folder/name/below"])
    def test_a_missing_object_is_not_found(self, store: Store, key: str) -> None:
        store.put("folder/name", b"content")
        for read in (store.get, store.head):
            with pytest.raises(ObjectNotFoundError) as caught:
                read(key)
            assert caught.value.object_name == key
        for ranges in ([(0, 1)], [(0, 0)], []):
            with pytest.raises(ObjectNotFoundError):
                store.get_ranges(key, ranges)

    def test_an_empty_store_lists_nothing_and_finds_nothing(self, store: Store) -> None:
        assert list(store.list("")) == []
        assert list(store.list("folder/")) == []
        with pytest.raises(ObjectNotFoundError):
            store.get("name")
        store.delete("name")

    # ---- deleting ----

    def test_deleting_is_idempotent(self, store: Store) -> None:
        store.put("folder/a", b"a")
        store.put("folder/b", b"b")
        for _ in range(3):
            store.delete("folder/a")
        store.delete("folder")
        store.delete("folder/b/below")
        with pytest.raises(ObjectNotFoundError):
            store.get("folder/a")
        assert [info.key for info in store.list("")] == ["folder/b"]

    def test_a_deleted_name_is_free_again(self, store: Store) -> None:
        store.create("name", b"first")
        store.delete("name")
        store.create("name", b"second")
        assert store.get("name") == b"second"

    # ---- listing ----

    def test_a_listing_is_in_order_of_keys_for_any_prefix(self, store: Store) -> None:
        keys = ["a", "a-b", "a.b", "ab/c", "ab.d", "ab/c-d/e", "ab/c.d", "abc", "abd/x", "b", "B/a", "_", "-x", "0/1/2"]
        for key in keys:
            store.put(key + "_", key.encode())
        expected = sorted(key + "_" for key in keys)
        prefixes = [
            "",
            "a",
            "ab",
            "ab/",
            "ab/c",
            "ab/c-",
            "ab/c-d/",
            "abd",
            "abd/x_",
            "abd/x_x",
            "b",
            "B",
            "B/",
            "z",
            "-",
        ]
        for prefix in [*prefixes, "ab.", "0/1", "0/1/", "0/1/2", "0/1/3", "ab//", "/", "../", ".", "ä", "a b", "a\0"]:
            found = [info.key for info in store.list(prefix)]
            assert found == [key for key in expected if key.startswith(prefix)], f"prefix {prefix!r}"

    def test_a_listing_tells_sizes_and_times(self, store: Store) -> None:
        store.put("folder/a", b"1")
        store.put("folder/b", b"22")
        for info in store.list("folder/"):
            alone = store.head(info.key)
            assert isinstance(info, ObjectInfo)
            assert info.size == alone.size == len(store.get(info.key))
            assert abs(info.modified_ns - alone.modified_ns) < 1_000_000_000  # some answers are cut to whole seconds

    def test_a_listing_is_complete_beyond_a_thousand(self, store: Store) -> None:
        keys = [f"many/{number % 3}/{number:04d}" for number in range(1100)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: store.put(key, b"x"), keys))
        assert [info.key for info in store.list("many/")] == sorted(keys)
        assert [info.key for info in store.list("many/1/09")] == sorted(k for k in keys if k.startswith("many/1/09"))

    def test_a_listing_may_begin_after_any_string(self, store: Store) -> None:
        names = [
            "a",
            "a-b",
            "a.b",
            "ab/c",
            "ab.d",
            "ab/c-d/e",
            "ab/c.d",
            "abc",
            "abd/x",
            "b",
            "B/a",
            "_",
            "-x",
            "0/1/2",
        ]
        keys = sorted([f"{name}_" for name in names] + [f"refs/{number:04d}" for number in (1, 9, 10, 11, 100)])
        for key in keys:
            store.put(key, b"x")
        points = [
            "a",
            "a_",
            "a-b_",
            "ab",
            "ab/",
            "ab.",
            "ab/c",
            "ab/c-d",
            "ab/c_",
            "ab0",
            "0",
            "0/1",
            "B",
            "z",
            "~",
            "ä",
        ]
        points += [f"refs/{number:04d}" for number in (0, 1, 8, 9, 10, 99, 100, 9999)] + ["refs", "refs/", "refs0"]
        for prefix in ("", "ab", "ab/", "refs/", "refs/00", "0/"):
            for after in points:
                found = [info.key for info in store.list(prefix, after)]
                expected = [key for key in keys if key.startswith(prefix) and key > after]
                assert found == expected, f"prefix {prefix!r} after {after!r}"

    def test_folders_are_those_directly_below(self, store: Store) -> None:
        assert list(store.folders("")) == list(store.folders("a/")) == []
        for key in ("a/b/c", "a/b/d/e", "a/b-", "a/c.d/e", "a/c/e", "a-b/c", "b", "z/y/x/w"):
            store.put(key, b"x")
        assert list(store.folders("")) == ["a-b/", "a/", "z/"]
        assert list(store.folders("a/")) == ["a/b/", "a/c.d/", "a/c/"]
        assert list(store.folders("z/y/")) == ["z/y/x/"]
        for nothing in ("b/", "a/b-/", "nothing/", "a", "a/b", "a//", "/", "../", "a/./"):
            assert list(store.folders(nothing)) == [], nothing

    def test_objects_may_vanish_while_they_are_listed(self, store: Store) -> None:
        keys = [f"vanish/{number:02d}" for number in range(20)]
        for key in keys:
            store.put(key, b"x")
        listing = store.list("vanish/")
        first = next(listing)
        for key in keys[10:]:
            store.delete(key)
        found = [first.key, *(info.key for info in listing)]
        assert found[:10] == keys[:10]
        assert set(found) <= set(keys)

    # ---- large objects ----

    @pytest.mark.parametrize("size", [5 * _MIB + 1, 8 * _MIB, 70 * _MIB + 3], ids=["5 MiB", "8 MiB", "70 MiB"])
    def test_large_objects_are_whole(self, store: Store, size: int) -> None:
        pattern = os.urandom(_MIB)
        view = memoryview(pattern)
        pieces = [view[: min(_MIB, size - start)] for start in range(0, size, _MIB)]
        assert store.put("large", pieces).size == size
        content = store.get("large")
        assert len(content) == size
        assert all(
            content[start : start + _MIB] == piece for start, piece in zip(range(0, size, _MIB), pieces, strict=True)
        )
        end = store.get_ranges("large", [(size - 1000, 1000), (0, 10)])
        assert end == [content[-1000:], content[:10]]

    def test_one_large_buffer_is_whole(self, store: Store) -> None:
        content = os.urandom(20 * _MIB)
        store.put("large", content)
        assert store.get("large") == content

    # ---- names ----

    @pytest.mark.parametrize("key", LEGAL_KEYS, ids=lambda key: key[:20])
    def test_odd_but_legal_names(self, store: Store, key: str) -> None:
        store.create(key, key.encode())
        assert store.get(key) == key.encode()
        assert [info.key for info in store.list("")] == [key]
        assert [info.key for info in store.list(key[:-1])] == [key]
        store.delete(key)
        assert list(store.list("")) == []

    def test_names_differ_by_case(self, store: Store) -> None:
        store.put("Name", b"upper")
        store.create("name", b"lower")
        assert (store.get("Name"), store.get("name")) == (b"upper", b"lower")

    @pytest.mark.parametrize("key", ILLEGAL_KEYS, ids=lambda key: ascii(key)[:20])
    def test_illegal_names_are_refused_everywhere(self, store: Store, key: str) -> None:
        for action in (
            lambda: store.put(key, b"x"),
            lambda: store.create(key, b"x"),
            lambda: store.get(key),
            lambda: store.get_ranges(key, [(0, 1)]),
            lambda: store.head(key),
            lambda: store.delete(key),
        ):
            with pytest.raises(UsageError):
                action()
        assert list(store.list("")) == []

    # ---- facts about the store ----

    @pytest.mark.parametrize("verb", ["put", "create"])
    def test_times_of_writing_are_plausible(self, store: Store, verb: str) -> None:
        before = SYSTEM_CLOCK.now_ns()
        written = _writer(store, verb)("name", b"content")
        after = SYSTEM_CLOCK.now_ns()
        tolerance = round(self.clock_skew_seconds * 1_000_000_000)
        assert before - tolerance <= written.modified_ns <= after + tolerance
        assert abs(store.head("name").modified_ns - written.modified_ns) < 1_000_000_000

    def test_it_says_where_it_is_and_what_it_can(self, store: Store) -> None:
        assert store.url
        assert "@" not in store.url
        assert isinstance(store.capabilities, Capabilities)


def _writer(store: Store, verb: str) -> Callable[..., ObjectInfo]:
    return store.put if verb == "put" else store.create
