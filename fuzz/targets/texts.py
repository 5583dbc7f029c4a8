"""What people and other programs write: references, paths, URLs of stores, durations, sizes, times, names."""

from __future__ import annotations

from functools import lru_cache

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.clock import from_rfc3339
from holdfast.control.snapshots.snapshot_paths import reference_of, snapshot_name, split_path, split_url
from holdfast.errors import HoldfastError
from holdfast.ids import is_snapshot_id, snapshot_time_ms
from holdfast.stores.keys import check_key, is_key
from holdfast.stores.memory import MemoryStore
from holdfast.stores.opening import open_store
from holdfast.units import format_duration, format_size, parse_duration, parse_rate, parse_size
from holdfast.vault.vault import Vault

__all__ = ["TARGETS"]

_THREADS = 256 << 20


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


@lru_cache
def _vault() -> Vault:
    store = MemoryStore()
    for key, data in world.objects(False).items():
        store.put(key, data)
    return world.vault(store, False)


def _reference(data: bytes) -> None:
    root = _vault().find(_text(data))
    if root.asset not in (world.ASSET, "arrays"):
        raise Broken(f"{root.asset!r} is nobody's")


def _reference_seeds() -> list[bytes]:
    ids = [key.rsplit("/", 1)[-1] for key in world.objects(False) if key.startswith("snapshots/")]
    texts = [world.ASSET, f"{world.ASSET}@first", "arrays@step=2", "arrays@validated", "arrays@2030-01-01T00:00:00Z"]
    return [text.encode() for text in [*texts, ids[0], ids[0][:20], f"arrays@{ids[-1]}"]]


def _snapshot_path(data: bytes) -> None:
    text = _text(data)
    vault, path = split_url(text)
    snapshot, _ = split_path(path)
    reference = reference_of(snapshot)
    asset, _, selector = reference.rpartition("@")
    if asset and selector and not is_snapshot_id(reference.lower()):
        again = reference_of(snapshot_name(asset, selector))
        if again != f"{asset}@{selector}":
            raise Broken(f"{asset!r}@{selector!r} comes back as {again!r}")
    split_path(vault)


def _url(data: bytes) -> None:
    store = open_store(_text(data))
    if not isinstance(store.url, str):
        raise Broken("a store has no URL")


def _units(data: bytes) -> None:
    text = _text(data)
    for parse, tell in ((parse_duration, format_duration), (parse_size, format_size), (parse_rate, format_size)):
        try:
            value = parse(text)
        except HoldfastError:
            continue
        if not 0 <= value < float("inf"):
            raise Broken(f"{text!r} is {value}")
        tell(value)


def _moment(data: bytes) -> None:
    try:
        from_rfc3339(_text(data))
    except ValueError:
        return


def _names(data: bytes) -> None:
    text = _text(data)
    if is_key(text):
        check_key(text)
    if is_snapshot_id(text) and snapshot_time_ms(text) < 0:  # type: ignore[arg-type]
        raise Broken(f"{text!r} is of before 1970")
    names = world.keys(False).names
    if names.asset_key(text) == names.ref_key(text):
        raise Broken("an asset and a ref have one key")


TARGETS = [
    Target(
        "reference",
        "`resolve`, `resolve_key`, `from_rfc3339`",
        _reference,
        _reference_seeds,
        (
            b"@",
            b"@step=",
            b"@latest",
            b"@validated",
            b"0001-01-01",
            b"T00:00:00+14:00",
            b"9999-12-31",
            b"9" * 19,
            b"\xff",
        ),
        _THREADS,
        "threads",
        400,
    ),
    Target(
        "snapshot-path",
        "`split_url`, `split_path`, `reference_of`, `snapshot_name`",
        _snapshot_path,
        lambda: [b"holdfast://vault/run%20%2F@latest/a/b", b"arrays@step=2/x", b"run"],
        (b"holdfast://", b"%", b"%00", b"%ff", b"@", b"/", b"%40", b"%25"),
        max_bytes=400,
    ),
    Target(
        "url",
        "`open_store`, `sort_options`, `connect` (nothing is sent)",
        _url,
        lambda: [
            b"/a/folder",
            b"file:///a/folder",
            b"memory://name",
            b"s3://bucket/prefix",
            b"gs://bucket",
            b"az://box/a",
        ],
        (
            b"://",
            b"s3://",
            b"gs://",
            b"az://",
            b"file://",
            b"memory://",
            b"%00",
            b"@",
            b"?",
            b"#",
            b"..",
            b"\0",
            b"\xff",
        ),
        _THREADS,
        "the client of the clouds is a library of 60 MiB",
        400,
    ),
    Target(
        "units",
        "`parse_duration`, `parse_size`, `parse_rate` and what tells them",
        _units,
        lambda: [b"90s", b"5min", b"64MiB", b"1.5GB", b"100MiB/s"],
        (b"9" * 400, b"PiB", b"w", b"ms", b".", b" ", b"/s", b"\xd9\xa3", b"e9"),
        max_bytes=2000,
    ),
    Target(
        "moment",
        "`from_rfc3339`",
        _moment,
        lambda: [b"2023-11-14T22:13:20.123Z", b"2023-11-14", b"2023-11-14T22:13:20+02:00"],
        (b"0001-01-01", b"9999-12-31", b"+23:59", b"-23:59", b"T", b"Z", b".", b"W53", b"24:00"),
        max_bytes=100,
    ),
    Target(
        "names",
        "`asset_key`, `ref_key`, `normalised`, `is_key`, `check_key`, `is_snapshot_id`",
        _names,
        lambda: ["größe".encode(), b"a/b", b"01hf7yat00000g40r40m30e209"],
        (b"\0", b"\xff", "\u0301".encode(), b"/", b".."),
        max_bytes=2000,
    ),
]
