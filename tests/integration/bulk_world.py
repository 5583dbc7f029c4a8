"""A vault with a folder in it whose pieces are worth counting, and whoever opens it finds the key by itself."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path

from holdfast.control.bulk.tasks import At
from holdfast.control.vaults.opening import create, open_at
from holdfast.vault.vault import Vault

MIB = 1 << 20


def with_homes(folder: Path) -> dict[str, str]:
    """Variables that keep keys, memories and caches below `folder`."""
    return {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}


class World:
    """A vault on a folder, and what was saved."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        """`environment`: with the homes, where they are not those of this process."""
        self.folder = folder
        self.url = str(folder / "vault")
        self.environment = dict(os.environ if environment is None else environment)
        folder.mkdir(parents=True, exist_ok=True)
        self.vault = create(self.url, environment=self.environment).vault
        self.vault.handle.pack_bytes = MIB
        self.source = folder / "source"

    def save(self, *, seed: int = 1, shards: int = 6, shard_bytes: int = MIB) -> str:
        """Shards, one file as large as all of them, one with a hole, empty ones, a link, several modes."""
        dice = random.Random(seed)
        source = self.source
        (source / "deep" / "er").mkdir(parents=True, exist_ok=True)
        for number in range(shards):
            (source / "deep" / f"shard-{number}.bin").write_bytes(dice.randbytes(shard_bytes))
        (source / "large.bin").write_bytes(dice.randbytes(shards * shard_bytes))
        with (source / "hole.bin").open("wb") as file:
            file.write(dice.randbytes(100_000))
            file.seek(3 * MIB)
            file.write(b"end")
        (source / "deep" / "er" / "empty").write_bytes(b"")
        link = source / "link"
        if not link.is_symlink():
            link.symlink_to("large.bin")
        (source / "deep" / "shard-0.bin").chmod(0o640)
        (source / "deep" / "er").chmod(0o750)
        return self.vault.save("run", source).root.id

    def open(self) -> Vault:
        """Anew, as the keeper."""
        vault = open_at(self.url, environment=self.environment)
        vault.handle.pack_bytes = MIB
        return vault

    @property
    def at(self) -> At:
        return At(self.vault.handle.store.url)

    def packs(self) -> list[Path]:
        return sorted(path for path in (Path(self.url) / "packs").rglob("*") if path.is_file())


def small(total: int, width: int) -> int:
    """Pieces that are many."""
    return 512 << 10


def holes(world: World) -> int:
    """Bytes of the saved files that are no chunk's."""
    return sum(
        length
        for entry in world.vault.files(world.vault.find("run"))
        if entry.type == "file"
        for length, kind, _, _ in entry.runs
        if kind == 3
    )
