"""What is said and remembered of sites: notices, their states, and the series of exposures."""

from __future__ import annotations

import msgspec

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.control.sites.states import KeptNotice, SiteStates, states_of
from holdfast.replication.following.exposing import Exposure, Protection
from holdfast.replication.following.series import ExposureSeries
from holdfast.vault.access.site_notices import SiteNotice, decode_notice

__all__ = ["TARGETS"]

_KEY = "sites/01hf7yat00000g40r40m30e209"


def _states(data: bytes) -> None:
    environment = {"XDG_STATE_HOME": str(world.scratch())}
    path = world.scratch() / "holdfast/sites/acme.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    states = SiteStates("acme", environment)
    before = states.read()
    over = tuple(one.notice.id for one in states.notices().values() if one.notice.site == "added")[:200]
    notice = SiteNotice("z" * 26, "added", "failed", 1, "a reason", "ann", over)
    if notice.id in states.notices():
        return
    states.add({notice.id: KeptNotice(notice, {"00": b"bytes"})})
    after = SiteStates("acme", environment).read()
    if after.pop("added").notice != notice.id or after != {
        site: one for site, one in before.items() if site != "added"
    }:
        raise Broken("a state was lost or made up when another one was said")


def _notice(data: bytes) -> None:
    """What a keeper's key has signed: what is accepted can be shown, and is bound to its name."""
    notice = decode_notice(_KEY, data)
    if f"sites/{notice.id}" != _KEY or notice.id in notice.over:
        raise Broken(f"the notice {notice.id} was taken for another")
    for state in states_of([notice]).values():
        str(state).encode()


def _notice_seeds() -> list[bytes]:
    one = SiteNotice(_KEY[6:], "use1", "failed", 1_700_000_000_000_000_000, "fire", "ann")
    more = msgspec.structs.replace(one, condition="declared", over=("01hf7yat00000g40r40m30e20a",))
    return [msgspec.msgpack.encode(one), msgspec.msgpack.encode(more), b"\x80"]


def _series(data: bytes) -> None:
    """What is broken is passed over; what is appended after it is there."""
    series = ExposureSeries(world.scratch() / "series.jsonl")
    series.path.write_bytes(data + b"\n")
    before = len(list(series.read()))
    series.append([Exposure("a", "s", 5, Protection.ARRIVED, None, 2.5, "id", "s/warm")])
    after = list(series.read())
    if len(after) != before + 1 or after[-1].arrived != 2.5:
        raise Broken(f"{len(after) - before} samples were appended")


def _state_seeds() -> list[bytes]:
    one = SiteNotice(_KEY[6:], "use1", "failed", 1_700_000_000_000_000_000, "fire", "ann")
    other = msgspec.structs.replace(one, id="01hf7yat00000g40r40m30e20a", condition="draining", by="bela")
    later = msgspec.structs.replace(one, id="01hf7yat00000g40r40m30e20b", condition="declared", over=(one.id,))
    kept = {each.id: KeptNotice(each, {"ab": b"12"}) for each in (one, other, later)}
    return [msgspec.json.encode(kept), msgspec.json.encode({one.id: kept[one.id]}), b"{}"]


def _series_seeds() -> list[bytes]:
    line = b'{"at":1,"asset":"llama","site":"use1","protection":"verified","seconds":3.5,"arrived":3.5,"snapshot":"01"}'
    return [line, line + b"\n" + line[:40], b""]


TARGETS = [
    Target(
        "site-states",
        "`SiteStates.read`, `SiteStates.add`",
        _states,
        _state_seeds,
        (b'"condition"', b'"failed"', b'"at"', b'"over"', b"{", b"}", b"null", b"1e400"),
    ),
    Target(
        "site-notice",
        "`decode_notice`",
        _notice,
        _notice_seeds,
        (b"\xa9condition", b"\xa6failed", b"\xa2at", b"\xa4over", b"\xa4site", b"\xd9\xff", b"\xcf\xff\xff\xff\xff"),
    ),
    Target(
        "exposure-series",
        "`ExposureSeries.read`, `ExposureSeries.append`",
        _series,
        _series_seeds,
        (b'"at"', b'"protection"', b'"none"', b'"seconds"', b"\n", b"{", b"}", b"NaN", b"[" * 40),
    ),
]
