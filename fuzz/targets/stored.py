"""Stored objects as a store hands them out: headers, documents, configurations, names, series."""

from __future__ import annotations

from blake3 import blake3

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.errors import HoldfastError
from holdfast.stores.memory import MemoryStore
from holdfast.vault.access.configuration import load_config, read_suite, read_vault_id, trusted_generations
from holdfast.vault.format.documents import checked_header, read_config, read_document
from holdfast.vault.format.header import HEADER_BYTES, Header, Kind
from holdfast.vault.format.names import config_key, generation_of
from holdfast.vault.format.scrubbing import scrub_object
from holdfast.vault.format.series import series_of
from holdfast.vault.index.objects import pack_of_key

__all__ = ["TARGETS"]

_KINDS = (Kind.PART, Kind.ROOT, Kind.REF, Kind.INDEX)
_FOLDERS = {Kind.PART: "parts/", Kind.ROOT: "snapshots/", Kind.REF: "refs/", Kind.INDEX: "index/"}
_CHECKSUM_BYTES = 32


def _header(data: bytes) -> None:
    header = Header.parse(data, "objects/header")
    if header.pack() != data[:HEADER_BYTES]:
        raise Broken("a header does not give its own bytes")
    for kind in Kind:
        try:
            checked_header("objects/header", data, kind)
        except HoldfastError:
            continue


def _checksummed(data: bytes) -> bytes:
    """What a hostile hand leaves: other bytes, and the checksum over them."""
    body = data[:-_CHECKSUM_BYTES] if len(data) > _CHECKSUM_BYTES else b""
    return body + blake3(body).digest()


def _document(data: bytes) -> None:
    """First byte: which kind, and which of the two vaults."""
    choice, stored = data[:1] or b"\0", data[1:]
    kind, encrypted = _KINDS[choice[0] % 4], bool(choice[0] & 4)
    name = f"{_FOLDERS[kind]}x"
    if not choice[0] & 8:
        stored = _checksummed(stored)
    read_document(world.keys(encrypted), kind, name, stored)


def _document_seeds() -> list[bytes]:
    seeds = []
    for number, kind in enumerate(_KINDS):
        body = world.bodies(kind)[0]
        for encrypted in (False, True):
            sealed = world.resealed(kind, f"{_FOLDERS[kind]}x", body, encrypted=encrypted)
            seeds.append(bytes([number | 4 * encrypted | 8]) + sealed)
    return seeds


def _stored_config(data: bytes) -> None:
    """The newest generation of a vault's configuration, which anybody who may write to the store can replace."""
    store = MemoryStore()
    store.put(config_key(1), _checksummed(data))
    read_vault_id(store)
    read_suite(store)
    load_config(store, ())


def _stored_config_seeds() -> list[bytes]:
    return [world.config_object(encrypted) for encrypted in (False, True)]


def _generations(data: bytes) -> None:
    """Several generations, split at a marker; the highest is the honest one or not."""
    store = MemoryStore()
    for number, piece in enumerate(data.split(b"----")[:4], start=1):
        store.put(config_key(number), _checksummed(piece))
    trusted_generations(store, world.KEEPER(False).keepers)


def _generations_seeds() -> list[bytes]:
    one = world.config_object(False)
    return [one, one + b"----" + one]


def _scrub(data: bytes) -> None:
    for key in ("parts/x", f"index/{blake3(data).hexdigest()}", "packs/00/00"):
        try:
            scrub_object(key, data)
        except HoldfastError:
            continue
    scrub_object("parts/x", _checksummed(data))


def _series(data: bytes) -> None:
    listed = data.decode("utf-8", "replace").split("\n")
    for prefix in ("config/", "refs/a/b/"):
        series = series_of(listed, prefix)
        if series.generations != sorted(series.generations) or any(one < 1 for one in series.generations):
            raise Broken(f"{series} is no series")
        for key in series.keys + series.leap_keys:
            if key not in listed or generation_of(key) is None:
                raise Broken(f"{key!r} was not listed")
    for key in listed:
        pack = pack_of_key(key)
        if pack is not None and not key.endswith(pack):
            raise Broken(f"{key!r} is not the name of {pack}")


def _series_seeds() -> list[bytes]:
    names = ["config/0000000001", "config/0000000002", "refs/a/b/0000000001", "refs/a/b/9999999999", "config/x"]
    names += [f"packs/ab/ab{'0' * 62}"]
    return ["\n".join(names).encode()]


def _config_without_trust(data: bytes) -> None:
    read_config(config_key(1), _checksummed(data))


TARGETS = [
    Target(
        "header",
        "`Header.parse`, `checked_header`",
        _header,
        lambda: [data[:64] for data in list(world.objects(True).values())[:6]],
        (b"HOLDFAST", b"C", b"P", b"I", b"M", b"S", b"R"),
    ),
    Target("document", "`read_document` (cut, verify, unseal, unpack), both suites", _document, _document_seeds),
    Target(
        "config-stored",
        "`read_config`, `read_generation`, `read_vault_id`, `read_suite`, `load_config`",
        _stored_config,
        _stored_config_seeds,
    ),
    Target("config-frame", "`read_config`", _config_without_trust, _stored_config_seeds),
    Target("config-generations", "`trusted_generations`", _generations, _generations_seeds, (b"----",)),
    Target(
        "scrub", "`scrub_object`", _scrub, lambda: [data[:4000] for data in list(world.objects(False).values())[:6]]
    ),
    Target(
        "series",
        "`series_of`, `generation_of`, `pack_of_key`",
        _series,
        _series_seeds,
        (b"\n", b"config/", b"refs/a/b/", b"0000000000", b"9999999999", b"packs/"),
    ),
]
