"""What this machine remembers of tiers: measured rates, and what is wanted on a warmer store for a time."""

from __future__ import annotations

import math
from pathlib import Path

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.control.sites.raising import RaisedFile
from holdfast.control.sites.rates import LEAST_BYTES, Measurement, RatesFile
from holdfast.replication.tiering.facts import Raised

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
    found = file.rates(before.restores, {site for by_site in before.restores.values() for site in by_site})
    figures = [one.bytes_per_second for one in found] + list(file.verifying(_NOW).values())
    if not all(math.isfinite(one) and one >= 0 for one in figures):
        raise Broken(f"rates of {figures}")
    new = Measurement(bytes=LEAST_BYTES, seconds=2.0, at=1 << 62, how="sample")
    file.note({("use1/hot", "use1"): new}, {"llama": new})
    after = file.read()
    if after.restores["use1/hot"]["use1"] != new or len(after.verifying) < len(before.verifying):
        raise Broken("a measurement was lost")


def _raised(data: bytes) -> None:
    """What is raised is there afterwards, with all whose time is not over."""
    file = RaisedFile("acme", _placed("tiers", data), lambda text: None)
    before = {(one.snapshot, one.store) for one in file.read(_NOW)}
    file.add([Raised(snapshot="s", store="use1/hot", until_ns=_NOW + 1, reason="drill")], _NOW)
    if {(one.snapshot, one.store) for one in file.read(_NOW)} != before | {("s", "use1/hot")}:
        raise Broken("what was raised was lost or made up")


def _rate_seeds() -> list[bytes]:
    one = b'{"bytes": 12586048, "seconds": 0.5, "at": 1799990000000000000, "how": "copy"}'
    return [b'{"restores": {"use1/hot": {"euw4": ' + one + b'}}, "verifying": {"llama": ' + one + b"}}", b"{}"]


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
]
