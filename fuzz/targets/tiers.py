"""What this machine remembers of tiers: measured rates, and what is wanted on a warmer store for a time."""

from __future__ import annotations

import math
from pathlib import Path

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.control.sites.raising import Cache, CachesFile, RaisedFile
from holdfast.control.sites.rates import LEAST_BYTES, Measurement, RatesFile, typical
from holdfast.control.vaults.uses import Gave, Read, UsesLog
from holdfast.replication.tiering.facts import Raised
from holdfast.stores.archives.port import Standing
from holdfast.stores.archives.s3 import restore_header

__all__ = ["TARGETS"]

_NOW = 1_800_000_000_000_000_000


def _placed(folder: str, data: bytes) -> dict[str, str]:
    home = Path(str(world.scratch()))
    path = home / "holdfast" / folder / "acme.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"XDG_STATE_HOME": str(home)}


def _rates(data: bytes) -> None:
    """What is measured now is there afterwards; no rate is without sense."""
    file = RatesFile("acme", _placed("rates", data), lambda text: None)
    before = file.read()
    found = file.rates(before.restores, {site for by_site in before.restores.values() for site in by_site}, _NOW)
    figures = [one.bytes_per_second for one in found] + list(file.verifying(_NOW).values())
    if not all(math.isfinite(one) and one >= 0 for one in figures):
        raise Broken(f"rates of {figures}")
    new = Measurement(bytes=LEAST_BYTES, seconds=2.0, at=1 << 62, how="sample")
    file.note({("use1/hot", "use1"): new}, {"llama": new})
    after = file.read()
    if after.restores["use1/hot"]["use1"][-1:] != [new] or len(after.verifying) < len(before.verifying):
        raise Broken("a measurement was lost")


def _raised(data: bytes) -> None:
    """What is raised is there afterwards, with all whose time is not over."""
    file = RaisedFile("acme", _placed("tiers", data), lambda text: None)
    before = {(one.snapshot, one.store) for one in file.read(_NOW)}
    file.add([Raised(snapshot="s", store="use1/hot", until_ns=_NOW + 1, reason="drill")], _NOW)
    if {(one.snapshot, one.store) for one in file.read(_NOW)} != before | {("s", "use1/hot")}:
        raise Broken("what was raised was lost or made up")


def _caches(data: bytes) -> None:
    """A cache that is set is there afterwards, with all others; what they hold has no end in sight."""
    file = CachesFile("acme", _placed("caches", data), lambda text: None)
    before = file.read()
    new = Cache(budget=5, at=_NOW, hold={"s": "why"})
    file.set("use1/hot", new)
    if file.read() != before | {"use1/hot": new}:
        raise Broken("a cache was lost or made up")
    if any(one.until_ns <= _NOW for one in file.raised(_NOW)):
        raise Broken("a cache holds what is over")


def _uses(data: bytes) -> None:
    """What is broken is passed over, what is appended after it is there, and no rate is without sense."""
    log = UsesLog(Path(str(world.scratch())) / "uses.jsonl")
    log.path.write_bytes(data + b"\n")
    before = list(log.read())
    log.append([Read(at=1, asset="a", snapshot="s", store="x")])
    if len(list(log.read())) != len(before) + 1:
        raise Broken("a line was lost or made up")
    gave = [one for one in before if isinstance(one, Gave)]
    rate = typical([Measurement(bytes=one.bytes, seconds=one.seconds, at=one.at, how=one.how) for one in gave], _NOW)
    if rate is not None and not (math.isfinite(rate.rate) and rate.rate > 0):
        raise Broken(f"a rate of {rate.rate}")


def _restore_header(data: bytes) -> None:
    standing, until = restore_header(data.decode("latin-1"))
    if until is not None and standing is not Standing.READABLE:
        raise Broken(f"{standing} until {until}")


def _use_seeds() -> list[bytes]:
    return [
        b'{"type":"gave","at":5,"store":"/x","bytes":5000000,"seconds":0.5,"how":"restore","site":"use1"}',
        b'{"type":"verified","at":5,"asset":"a","bytes":5000000,"seconds":0.5,"how":"restore"}\n'
        b'{"type":"read","at":5,"asset":"a","snapshot":"s","store":"/x"}',
    ]


def _rate_seeds() -> list[bytes]:
    one = b'{"bytes": 12586048, "seconds": 0.5, "at": 1799990000000000000, "how": "copy"}'
    several = b"[" + one + b", " + one + b"]"
    return [
        b'{"restores": {"use1/hot": {"euw4": ' + each + b'}}, "verifying": {"llama": ' + each + b'}, "here": ["use1"]}'
        for each in (one, several)
    ]


def _raised_seeds() -> list[bytes]:
    return [
        b'{"raised": [{"snapshot": "01", "store": "use1/hot", "until_ns": 1900000000000000000, "reason": "drill"}]}',
        b'{"raised": []}',
    ]


TARGETS = [
    Target(
        "tier-rates",
        "`RatesFile.read`, `RatesFile.note`",
        _rates,
        _rate_seeds,
        (b'"restores"', b'"verifying"', b'"bytes"', b'"seconds"', b'"at"', b"{", b"}", b"1e400", b"0", b"-1"),
    ),
    Target(
        "tier-raised",
        "`RaisedFile.read`, `RaisedFile.add`",
        _raised,
        _raised_seeds,
        (b'"raised"', b'"snapshot"', b'"until_ns"', b"[", b"]", b"{", b"}", b"null", b"1e400"),
    ),
    Target(
        "tier-caches",
        "`CachesFile.read`, `CachesFile.set`",
        _caches,
        lambda: [b'{"euw4/hot": {"budget": 5, "at": 1799990000000000000, "hold": {"01": "newest"}}}', b"{}"],
        (b'"budget"', b'"hold"', b'"at"', b"{", b"}", b"null", b"-1", b"1e400"),
    ),
    Target(
        "tier-uses",
        "`UsesLog.read`, `UsesLog.append`",
        _uses,
        _use_seeds,
        (b'"type"', b'"gave"', b'"seconds"', b"1e-300", b"1e400", b"\n", b"{", b"}", b"[" * 40, b"0"),
    ),
    Target(
        "archive-answer",
        "`restore_header`",
        _restore_header,
        lambda: [b'ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"', b'ongoing-request="true"'],
        (b"ongoing-request=", b"expiry-date=", b'"', b"99999999", b"GMT", b"-0000"),
    ),
]
