"""What a training restores: the JSON tree of a state; and what a saver finds on a local disk: spool files, messages."""

from __future__ import annotations

import socket

import msgspec
import numpy as np

from fuzz.model import Broken, Target
from holdfast.errors import DamageError
from holdfast.training.saving.channel import Channel
from holdfast.training.saving.messages import ORDERS, SaveOrder, StagedFile, Withdraw
from holdfast.training.saving.spool_files import parse_head
from holdfast.training.states.files import plan_files
from holdfast.training.states.rebuilding import read_tree, rebuild, tensors_of

__all__ = ["TARGETS"]

_SENT_MAX = 64 << 10  # less than what the kernel keeps for a reader
_STATE = {
    "model": {"w": np.arange(12, dtype=np.float32).reshape(3, 4), "z": np.array(1.5)},
    "views": [(_FLAT := np.arange(8, dtype=np.int16))[1:5], _FLAT[3:8]],
    "rng": np.random.Generator(np.random.PCG64(1)),
    "plain": [None, True, 1 << 70, float("nan"), b"\x00", (1, {2: "x"}), {"$x": 1}, np.float32(2), 1 + 2j, {3, 4}],
}


def _tree(data: bytes) -> None:
    tree = read_tree(data)
    keys = set(tensors_of(tree))
    rebuilt = rebuild(tree, lambda key: np.zeros(16, np.float64))
    if not _is_plain(rebuilt, 0):
        raise Broken(f"something else than a state was made of {len(keys)} tensors: {type(rebuilt).__name__}")


def _is_plain(value: object, depth: int) -> bool:
    """Of the classes that a state may hold, and no other."""
    if depth > 400:
        return False
    if isinstance(value, dict):
        return all(_is_plain(key, depth + 1) and _is_plain(inner, depth + 1) for key, inner in value.items())
    if isinstance(value, (list, tuple, set)):
        return all(_is_plain(inner, depth + 1) for inner in value)
    known = (int, float, complex, str, bytes, np.ndarray, np.generic, np.dtype, np.random.Generator)
    return value is None or isinstance(value, known) or type(value).__module__ == "torch"


def _head(data: bytes) -> None:
    head, at = parse_head(data)
    if not 12 <= at <= len(data) or head.data < 0 or head.order < 0:
        raise Broken(f"a head of {at} bytes in {len(data)}")


def _messages(data: bytes) -> None:
    here, there = socket.socketpair()
    channel = Channel(there, ORDERS)
    try:
        here.sendall(data[:_SENT_MAX])
        here.close()
        number = 0
        while channel.receive() is not None:
            number += 1
        if not number:
            raise DamageError("it ended before a message was whole")
    finally:
        here.close()
        channel.close()


_HEAD = msgspec.msgpack.encode({"vault": bytes(16), "suite": 1, "salt": bytes(32), "data": 9, "order": 7})
_ORDER = SaveOrder(1, 0, [StagedFile("a", 0, 9)], "", 5, 1, {"loss": 1.0}, {}, {}, ["x"], "warn", True)


def _framed(message: msgspec.Struct) -> bytes:
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(4, "big") + body


TARGETS = [
    Target(
        "state-tree",
        "`read_tree`, `tensors_of`, `rebuild`",
        _tree,
        lambda: [plan_files(_STATE).document],
        (
            b'{"$tensor":["f","n"],"of":"numpy"}',
            b'"shape":[',
            b'"strides":[',
            b'"offset":',
            b'{"$dict":[[',
            b'{"$tuple":[',
            b'{"$set":[',
            b'{"$ordered":{',
            b'{"$numpy.Generator":',
            b'{"$scalar":["float32","',
            b'{"$int":"0x',
            b'{"$float":"',
            b'{"$complex":[',
            b'{"$numpy.dtype":"',
            b'"dtype":"float64"',
            b"9223372036854775807",
            b"[" * 300,
        ),
    ),
    Target(
        "spool-head",
        "`parse_head`",
        _head,
        lambda: [b"HFSPOOL1" + len(_HEAD).to_bytes(4, "big") + _HEAD + bytes(20)],
        (b"HFSPOOL", b"\xc4\x10", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"suite", b"data"),
    ),
    Target(
        "saver-message",
        "`Channel.receive`",
        _messages,
        lambda: [_framed(_ORDER), _framed(_ORDER) + _framed(Withdraw(3))],
        (b"SaveOrder", b"Finish", b"Withdraw", b"\xc0", b"\xdc\xff\xff", b"\x00\x00\x00\x04"),
    ),
]
