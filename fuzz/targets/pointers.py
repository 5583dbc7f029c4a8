"""What lies where Lightning and Orbax expect a checkpoint."""

from __future__ import annotations

import msgspec

from fuzz.model import Broken, Target
from holdfast.training.callbacks.pointers import Pointer, parse_pointer

__all__ = ["TARGETS"]


def _pointer(data: bytes) -> None:
    found = parse_pointer(data, "last.ckpt")
    if found is not None and parse_pointer(msgspec.json.encode(found), "last.ckpt") != found:
        raise Broken("a pointer does not come back")


TARGETS = [
    Target(
        "checkpoint-pointer",
        "`parse_pointer`",
        _pointer,
        lambda: [msgspec.json.encode(Pointer("llm", 500, "0123456789abcdef" * 2)), b"PK\x03\x04", b"\x80\x02."],
        (
            b'"holdfast-pointer"',
            b'"save"',
            b"-1",
            b"1e400",
            b'"\\ud800"',
            b"[" * 2000,
            b"{" * 2000,
            b"9" * 400,
            b"\xff",
        ),
    )
]
