"""Listing from the midst: where a cloud is asked to begin, and what a folder of files is not asked for."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.stores.local import LocalStore
from holdfast.stores.offsets import safe_offset

FOLDER = "refs/a/"


def listed_by_folders(keys: list[str], folder: str, offset: str) -> Iterator[str]:
    """What a server lists that walks its folders, each in the order of its names, and takes the offset for a name.

    Measured with SeaweedFS: it skips a folder of the offset's own name with all that is in it.
    """
    inside = sorted({key[len(folder) :].partition("/")[0] for key in keys if key.startswith(folder)})
    for name in inside:
        if name > offset[len(folder) :]:
            yield from (key for key in keys if key == folder + name or key.startswith(f"{folder}{name}/"))


def test_no_key_is_left_out_by_a_server_that_walks_folders() -> None:
    dice = random.Random(1)
    used = 0
    for _ in range(3000):
        names = {"".join(dice.choices("01Aaz-._/", k=dice.randrange(1, 6))).strip("/.") for _ in range(8)} - {""}
        names = {name for name in names if not any(other.startswith(f"{name}/") for other in names)}
        keys = sorted(FOLDER + name for name in names if "//" not in name and "./" not in name)
        after = FOLDER + "".join(dice.choices("01Aaz-._/", k=dice.randrange(0, 5)))
        offset = safe_offset(FOLDER, after)
        if offset is None:
            continue
        used += 1
        assert offset < after
        found = [key for key in listed_by_folders(keys, FOLDER, offset) if key > after]
        assert sorted(found) == [key for key in keys if key > after], (keys, after, offset)
    assert used > 300


@pytest.mark.parametrize(
    ("after", "offset"),
    [
        ("refs/a/0000000042", "refs/a/0000000041z"),
        ("refs/a/0000000100", "refs/a/00000000z"),
        ("refs/a/a", "refs/a/Zz"),
        ("refs/a/0000000000", None),
        ("refs/a/a.b", None),
        ("refs/a/b/c", None),
        ("refs/a/", None),
        ("refs/", None),
        ("", None),
        ("refs/b", None),
    ],
)
def test_offsets(after: str, offset: str | None) -> None:
    assert safe_offset(FOLDER, after) == offset


def test_sizes_are_asked_for_only_of_what_is_handed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    for number in range(200):
        store.put(f"refs/a/{number:04d}", b"x")
    (tmp_path / "refs/a/0150~").write_bytes(b"no object")
    asked: list[Any] = []
    real = os.stat

    def stat(path: Any, **options: Any) -> os.stat_result:
        asked.append(path)
        return real(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert [info.key for info in store.list("refs/a/", "refs/a/0197")] == ["refs/a/0198", "refs/a/0199"]
    assert asked == ["0198", "0199"]
    asked.clear()
    assert next(iter(store.list("refs/"))).key == "refs/a/0000"
    assert asked == ["0000"]
    asked.clear()
    assert list(store.list("refs/", "refs/b")) == [] and list(store.folders("refs/")) == ["refs/a/"]
    assert asked == []
