"""A group whose cut does not fit on the disk: noticed before any hook runs, or in mid-cut; always released."""

from __future__ import annotations

from pathlib import Path

import pytest

import holdfast
from holdfast.errors import StorageFullError
from holdfast.training.groups import GroupSaver, Hook, cutting, save_group

from .places import small_file_system


def test_a_small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    vault = holdfast.create(tmp_path / "vault")
    (tmp_path / "large").write_bytes(bytes(8 << 20))
    ran: list[str] = []
    hook = Hook("h", lambda: ran.append("before"), lambda: ran.append("after"))

    def grows(to: Path) -> None:
        with (to / "x").open("wb") as file:
            for _ in range(100):
                file.write(bytes(1 << 20))

    with small_file_system(tmp_path / "small", 4) as small:
        monkeypatch.setattr(cutting, "_SPARE_BYTES", 0)
        with pytest.raises(StorageFullError, match="needs 8,388,608 bytes"):
            save_group(vault, "g", {"large": tmp_path / "large"}, hooks=[hook], staging=small)
        assert ran == []
        with pytest.raises(StorageFullError, match="no space is left"):
            save_group(vault, "g", {"grows": grows}, hooks=[hook], staging=small)
        assert ran == ["before", "after"] and list(small.iterdir()) == []
        told: list[str] = []
        saver = GroupSaver(vault, "g", {"grows": grows}, hooks=[hook], staging=small, on_trouble=told.append)
        assert saver.save(1).state == "failed" and "no space is left" in told[0]
        small_enough = GroupSaver(vault, "g", {"x": b"x"}, staging=small, on_trouble=told.append)
        assert small_enough.save(2).state == "committing" and small_enough.wait(60)
        assert small_enough.exposure.last_durable_step == 2
        assert list(small.iterdir()) == []
    assert [one.root.step for one in vault.snapshots("g") if one.root is not None] == [2]
