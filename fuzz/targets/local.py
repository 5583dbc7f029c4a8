"""Files that this machine keeps for itself, SQLite aside."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from blake3 import blake3

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.control.vaults.known_vaults import KnownVaults, known_vaults_file
from holdfast.control.vaults.repairing import known_replicas
from holdfast.control.vaults.vault_names import Place, known_place
from holdfast.errors import HoldfastError
from holdfast.events import SILENT
from holdfast.ids import ChunkId
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.trust.suites import Suite
from holdfast.vault.format.header import Kind
from holdfast.vault.format.records import Part
from holdfast.vault.format.records import decode_record as decode_part
from holdfast.vault.saving.memory import AnchorAge, LocalBases, LocalFile, Remembered, recall
from holdfast.vault.saving.unfinished import Marks
from holdfast.vault.snapshots.labels import base_candidates

__all__ = ["TARGETS"]


def _known_vaults(data: bytes) -> None:
    environment = {"XDG_STATE_HOME": str(world.scratch() / "state")}
    path = known_vaults_file(environment)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    for check in (
        lambda: KnownVaults(environment, SILENT).check(LocalStore("/vaults/a"), None, "ab" * 16, Suite.PLAIN),
        lambda: KnownVaults(environment, SILENT).remember(world.vault(_Durable(), False), None),
    ):
        try:
            check()
        except HoldfastError:
            continue
    path.write_bytes(data)
    for name in ("", "abababab", "a"):
        place = known_place(name, environment) if name == "a" else _place_or_none(name, environment)
        if place is not None and not isinstance(place.url, str):
            raise Broken(f"{name!r} is at {place}")
    for replica in known_replicas(world.vault(MemoryStore(), False), environment=environment):
        if not isinstance(replica.url, str):
            raise Broken(f"a replica at {replica.url!r}")


def _place_or_none(name: str, environment: Mapping[str, str]) -> Place | None:
    try:
        return known_place(name, environment)
    except HoldfastError:
        return None


class _Durable(MemoryStore):
    """A store that is remembered."""

    @property
    def capabilities(self):  # type: ignore[no-untyped-def]
        return super().capabilities._replace(durable=True)


def _known_vaults_seed() -> bytes:
    places = ((b"/vaults/a", b"ab" * 16), (b"s3://b/c at http://x", world.VAULT.hex().encode()))
    seen = (b'"%b": {"vault":"%b","suite":0,"generation":1}' % place for place in places)
    return b"{\n" + b",\n".join(seen) + b"\n}\n"


def _remembered(data: bytes) -> None:
    """What a save remembers; its checksum is made right, as it keeps nobody out."""
    path = world.scratch() / "remembered"
    path.write_bytes(blake3(data).digest() + data)
    found = recall(path)
    if found is None:
        return
    bases = LocalBases(world.keys(False).names, found)
    for part in found.parts:
        for entry in part.entries:
            base_candidates(entry)
            for start in range(0, len(entry.chunks), 32):
                bases.base_bytes(ChunkId(entry.chunks[start : start + 32]))


def _remembered_seeds() -> list[bytes]:
    parts = [decode_part(body, Part, "parts/x") for body in world.bodies(Kind.PART)]
    file = world.scratch() / "base"
    file.write_bytes(bytes(1 << 16))
    info = file.stat()
    files = {
        entry.path: LocalFile(bytes(file), info.st_size, info.st_mtime_ns) for part in parts for entry in part.entries
    }
    return [msgspec.msgpack.encode(Remembered("x", 1, [part], files, {b"a" * 32: AnchorAge(1, 2)})) for part in parts]


def _marks(data: bytes) -> None:
    """When something was last looked for: a number in a file of the cache."""
    folder = world.scratch() / "marks"
    folder.mkdir(exist_ok=True)
    marks = Marks(world.VAULT, MemoryStore())
    marks._folder = folder
    (folder / "looked").write_bytes(data)
    marks.is_due("looked", 1_700_000_000_000_000_000)


TARGETS = [
    Target(
        "known-vaults",
        "`KnownVaults`, `known_place`, `known_replicas`",
        _known_vaults,
        lambda: [_known_vaults_seed()],
        (b'"generation"', b"null", b"1e400", b"9" * 30, b" at ", b"[" * 2000, b'"\\ud800"'),
    ),
    Target(
        "remembered",
        "`recall`, `LocalBases`, `base_candidates`",
        _remembered,
        _remembered_seeds,
        (b"\x91" * 2000, b"\xff" * 4, b"\xcf" + b"\xff" * 8),
    ),
    Target("marks", "`Marks.is_due`", _marks, lambda: [b"1699999999000000000"], (b"9" * 5000, b"-", b"\xd9\xa3")),
]
