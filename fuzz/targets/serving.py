"""What a server is sent and keeps, and what its client believes of an answer."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.cli.login import _decoded as decode_grant
from holdfast.control.recovering.standby import decode_standing
from holdfast.control.remote.client import Answer, _raised
from holdfast.control.service.kept import Kept
from holdfast.control.service.people import decode_known
from holdfast.control.service.reading.samples import Sample
from holdfast.control.working.processes import machine_of
from holdfast.errors import HoldfastError, UsageError
from holdfast.web.api.pages import _decoded as decode_cursor

__all__ = ["TARGETS"]

_PROBLEM = (
    b'{"type": "about:blank", "status": 403, "title": "refused", "detail": "no", "code": "refused", "hint": "ask",'
    b' "object": "run"}'
)
_GRANT = b'{"device_code": "x", "user_code": "ABCD-EFGH", "verification_uri": "http://h/device", "interval": 5}'
_KNOWN = b'{"kind": "ApiKey", "id": "k1", "name": "olga", "person": "olga", "groups": ["ops"], "until": 5}'
_STANDING = b'{"asset": "llama", "snapshot": "01jc0000000000000000000000", "at": 1}'
_CURSOR = b"eyJhZnRlciI6ImFiIiwicGxhY2UiOjN9"


def _problem(data: bytes) -> None:
    for status in (302, 401, 403, 429, 500):
        error = _raised(Answer(status, {}, data), "http://h")
        if not isinstance(error, HoldfastError) or not error.message.isprintable():
            raise Broken("an answer of a server reaches the terminal as it came")


def _grant(data: bytes) -> None:
    if not decode_grant(data):
        raise UsageError("nothing is granted")


def _known(data: bytes) -> None:
    decode_known(data)


def _standing(data: bytes) -> None:
    decode_standing(data, "marker")


def _cursor(data: bytes) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UsageError("no text") from error
    if decode_cursor(text).place < 0:
        raise Broken("a place before the first")


def _sample(data: bytes) -> None:
    sample = Sample.unpacked(1, data)
    if sample is None:
        raise UsageError("no sample")
    for name in sample.names():
        sample.state(name)
        sample.exposure(name)
    again = Sample.unpacked(1, sample.packed())
    if again is None or list(again.names()) != list(sample.names()):
        raise Broken("what was packed again is another sample")


def _claim(data: bytes) -> None:
    """Two numbers, and who is said to do a request: in a row of this machine, and of another one."""
    text = data.decode(errors="replace")
    lease, _, name = text.partition(" ")
    at = int(lease) if lease.isascii() and lease.isdigit() and len(lease) < 19 else 0
    _kept()._is_alive(name, at, at)
    if _kept()._is_alive(f"{machine_of()}|{name}", at, at) and "/" not in name:
        raise Broken("a process is alive that nobody named")


@lru_cache
def _kept() -> Kept:
    return Kept(world.scratch() / "kept.sqlite")


def _samples() -> list[bytes]:
    import zlib

    return [zlib.compress(msgspec.json.encode([["llama", "qwen"], [0, 1], [5.5, None]]))]


_HINTS = (b"null", b"[]", b"{}", b"1e999", b"-1", b"\x1b[2J", b'"' + b"x" * 40 + b'"', b"[" * 30, b"9" * 30)
TARGETS = [
    Target("server-problem", "`_raised`", _problem, lambda: [_PROBLEM], _HINTS),
    Target("device-grant", "`_decoded` of a login", _grant, lambda: [_GRANT], _HINTS),
    Target("session-person", "`decode_known`", _known, lambda: [_KNOWN], _HINTS),
    Target("standby-marker", "`decode_standing` of a standby", _standing, lambda: [_STANDING], _HINTS),
    Target("page-cursor", "`_decoded` of a cursor", _cursor, lambda: [_CURSOR], _HINTS),
    Target(
        "claimed-request", "`Kept._is_alive`", _claim, lambda: [b"7 1/5", b"7 other|1/5"], (b"9" * 5000, b"|", b"/")
    ),
    Target("board-sample", "`Sample.unpacked`", _sample, _samples, _HINTS),
]
