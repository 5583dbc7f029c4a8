"""What validation reads: metrics of trainers, what past snapshots looked like, statistics, headers read back."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.checkpoints.metrics import metrics_of
from holdfast.ids import SnapshotId
from holdfast.testing.workspace import own_memory
from holdfast.vault.checking.deep import _File
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import part_key
from holdfast.vault.format.records import (
    Entry,
    Part,
    PartLink,
    Root,
    TensorRecord,
    decode_record,
    encode_record,
)
from holdfast.vault.saving.history import History, PastSnapshot, extended, named_files
from holdfast.vault.saving.hooks import view_of
from holdfast.vault.saving.metrics import checked_metrics, examine_metrics, metrics_as_meta, metrics_in
from holdfast.vault.saving.outliers import examine_history, find_frozen
from holdfast.vault.snapshots.manifests import check_part
from holdfast.vault.tensors.statistics import Accumulator

__all__ = ["TARGETS"]

_THREADS = 256 << 20
_WHY_THREADS = "a pool of threads: 8 MiB of stack for each, and the allocator's arenas"
_JSON = (b"NaN", b"Infinity", b"-Infinity", b"1e400", b"9" * 5000, b'"\\ud800"', b"[" * 2000, b"null", b"true", b"\xff")
_HEADERS = (b'"data_offsets"', b'"__metadata__"', b"\x93NUMPY\x02\x00", b"\x93NUMPY\x03\x00", b"'shape': (", b"'O'")
_HEADERS += (b"'descr': [('a', '<f4')]", b"\\", b"'''", b"(" * 100, b"L,", b"9" * 30, b"-1", b"\n ")
_FLOATS = (b"\xcb\x7f\xf8" + bytes(6), b"\xcb\x7f\xf0" + bytes(6), b"\xcb\xff\xf0" + bytes(6), b"\xcb" + bytes(8))
_NUMBERS = (b"\xcf" + b"\xff" * 8, b"\xd3\x80" + bytes(7), b"\xc0", b"\xc4\x00", b"\x90", b"\x80")
_DTYPES = ("f16", "bf16", "f32", "f64", "c64", "i8", "f8_e4m3", "nothing known")
_NUMPY = {"f16": "<f2", "f32": "<f4", "f64": "<f8"}


def _trainer_state(data: bytes) -> None:
    folder = world.scratch() / "checkpoint"
    folder.mkdir(exist_ok=True)
    (folder / "trainer_state.json").write_bytes(data)
    found = checked_metrics(metrics_of(folder))
    _same(metrics_in(metrics_as_meta(found)), found)
    history = History([PastSnapshot(str(number), {"loss": 2.0 - number / 10, **found}) for number in range(8)])
    examine_metrics(found, history)


def _same(first: dict[str, float], second: dict[str, float]) -> None:
    if first.keys() != second.keys() or any(
        first[name] != second[name] and not (math.isnan(first[name]) and math.isnan(second[name])) for name in first
    ):
        raise Broken(f"{second} comes back as {first}")


def _meta(data: bytes) -> None:
    """The metadata of a root, one `key=value` in each line: whatever is in it, the next save reads metrics from it."""
    pairs = (line.partition("=") for line in data.decode("utf-8", "replace").split("\n"))
    found = metrics_in({f"metric.{key}": value for key, _, value in pairs})
    history = History([PastSnapshot(str(number), found) for number in range(6)])
    examine_metrics(dict.fromkeys(found, 1.0), history)
    examine_metrics(found, history)


class _Seen(msgspec.Struct, array_like=True):
    """What a save compares: what this machine remembers, the file now, and the parent's, which others wrote."""

    history: History
    now: Part
    parent: Part
    metrics: dict[str, float]


def _history(data: bytes) -> None:
    try:
        seen = msgspec.msgpack.decode(data, type=_Seen)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    for part in (seen.now, seen.parent):
        check_part(part, "parts/x")
    parents = dict(named_files("folder", seen.parent.entries))
    files = named_files("folder", seen.now.entries)
    for path, entry in files:
        for finding in examine_history(path, path, entry, parents.get(path), seen.history):
            finding.message.encode()
        find_frozen(path, entry, seen.history)
    examine_metrics(seen.metrics, seen.history)
    view_of("a", 1, seen.now.entries, seen.parent.entries, seen.metrics, {})
    more = extended(seen.history, "x", files, seen.metrics)
    if msgspec.msgpack.decode(msgspec.msgpack.encode(more), type=History).tensors != more.tensors:
        raise Broken("a history does not give its own record")
    for name in more.tensors:
        if not more.rows(name):
            raise Broken(f"nothing is known of {name!r}, which was just seen")


def _history_seed() -> bytes:
    def part(norm: float) -> Part:
        tensors = [
            TensorRecord(f"w{number}", "f32", [64, 4], 1024 * number, 1024, False, norm + number, 0, -1.0, 1.0, 3)
            for number in range(4)
        ]
        runs, lengths = [(4096, 0, 1, 1)], (4096).to_bytes(4, "little")
        file = Entry(b"m", "file", 0o600, 1, size=4096, runs=runs, chunks=bytes(32), lengths=lengths, tensors=tensors)
        return Part("weights", [file])

    history = History()
    for number in range(8):
        files = named_files("folder", part(2.0 + number / 100).entries)
        history = extended(history, str(number), files, {"loss": 3.0 - number / 10})
    return msgspec.msgpack.encode(_Seen(history, part(2.1), part(2.05), {"loss": 9.0}))


def _statistics(data: bytes) -> None:
    """First byte: the dtype, second: where it is cut. In pieces or at once it is the same, and what numpy says."""
    dtype, cut, content = _DTYPES[data[0] % len(_DTYPES)] if data else "f32", data[1:2], data[2:]
    at_once, pieces = Accumulator(), Accumulator()
    at_once.add(dtype, content)
    step = 1 + (cut[0] if cut else 0)
    for start in range(0, max(1, len(content)), step):
        pieces.add(dtype, content[start : start + step])
    one, other = at_once.result(), pieces.result()
    if (one.nonfinite, one.zeros, one.least, one.greatest) != (
        other.nonfinite,
        other.zeros,
        other.least,
        other.greatest,
    ):
        raise Broken(f"{one} at once, {other} in pieces")
    if (one.norm is None) != (other.norm is None) or not math.isclose(one.norm or 0, other.norm or 0, rel_tol=1e-5):
        raise Broken(f"the norm is {one.norm} at once, {other.norm} in pieces")
    if dtype in _NUMPY and len(content) % 8 == 0:
        values = np.frombuffer(content, _NUMPY[dtype])
        wrong, zeros = int((~np.isfinite(values)).sum()), int((values == 0).sum())
        if one.norm is not None and (wrong, zeros) != (one.nonfinite, one.zeros):
            raise Broken(f"{one}, and numpy counts {wrong} that are not finite, {zeros} zeros")


def _statistics_seeds() -> list[bytes]:
    values = np.random.default_rng(1).normal(size=96).astype("f4")
    values[5], values[6], values[7] = 0.0, -0.0, 1e30
    return [bytes([number, cut]) + values.tobytes() for number in range(len(_DTYPES)) for cut in (0, 6, 200)]


class _Shape(NamedTuple):
    format: str
    tensors: tuple[TensorRecord, ...]
    content: bytes


def _shapes() -> list[_Shape]:
    text = b'{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]}}'
    record = TensorRecord("a", "f32", [8], 8 + len(text), 32, False, 2.0**1.5, 0, 1.0, 1.0, 0)
    weights = len(text).to_bytes(8, "little") + text + np.ones(8, "f4").tobytes()
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (8,), }"
    header += b" " * (117 - len(header)) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + np.ones(8, "f4").tobytes()
    return [
        _Shape("safetensors", (record,), weights),
        _Shape("npy", (msgspec.structs.replace(record, name="array", offset=10 + len(header)),), array),
    ]


def _deep(data: bytes) -> None:
    """First byte: the format that the manifest claims; then the bytes of the file. All wrong is a finding, no error."""
    shape, content = _shapes()[data[0] % 2 if data else 0], data[1:]
    tensors = [one for one in shape.tensors if one.offset + one.bytes <= len(content)]
    entry = Entry(b"a", "file", 0o600, 1, size=len(content), format=shape.format, tensors=tensors)
    judged = _File(entry)
    for start in range(0, len(content), 100):
        judged.add(start, content[start : start + 100])
    for finding in judged.findings():
        finding.message.encode("utf-8", "surrogateescape")


def _deep_seeds() -> list[bytes]:
    return [bytes([number]) + shape.content for number, shape in enumerate(_shapes())]


def _saved_upon(data: bytes) -> None:
    """The newest snapshot is a stranger's, whose manifest this is. The next save goes through, and loads again."""
    part = decode_record(data, Part, "parts/x")
    store = world.store(False)
    names = world.keys(False).names
    id_ = names.part_id(data)
    if not any(True for _ in store.list(part_key(id_))):
        store.put(part_key(id_), world.resealed(Kind.PART, part_key(id_), data))
    size = sum(entry.size for entry in part.entries if entry.type == "file")
    root = msgspec.structs.replace(
        next(decode_record(body, Root, "x") for body in world.bodies(Kind.ROOT) if b"arrays" in body),
        id=str(_LATER),
        parents=[],
        parts=[PartLink(bytes.fromhex(id_), part.component, size % (1 << 63), 1)],
    )
    key = names.snapshot_key("arrays", _LATER)
    store.put(key, world.resealed(Kind.ROOT, key, encode_record(root)))
    arrays = {"w": np.arange(3072, dtype="f4").reshape(64, 48), "b": np.zeros((7, 3), "f2")}
    with own_memory(world.scratch() / "memory of who saves"):
        one = world.vault(store, False)
        saved = one.save("arrays", arrays, step=9).root
    loaded = world.vault(store, False).load(saved.id)
    if any(not np.array_equal(loaded[name][...], values) for name, values in arrays.items()):
        raise Broken("what was saved is not what is loaded")


_LATER = SnapshotId("7zzzzzzzzz0000g40r40m30e20")


TARGETS = [
    Target(
        "trainer-metrics",
        "`metrics_of`, `checked_metrics`, `metrics_in`, `examine_metrics`",
        _trainer_state,
        lambda: [b'{"global_step": 5, "log_history": [{"loss": 1.5, "grad_norm": NaN}, {"eval_loss": 2}]}'],
        (*_JSON, b'"log_history"', b'"loss"', b'"grad_norm"'),
    ),
    Target(
        "metric-meta",
        "`metrics_in`, `examine_metrics`",
        _meta,
        lambda: [b"loss=1.5\nacc=0.5\nlr=nan\nx=1e400"],
        (b"\n", b"=", b"nan", b"inf", b"1e400", b"1_0", b"\xd9\xa3", b"9" * 5000, b"loss", b"acc"),
    ),
    Target(
        "history",
        "`History.rows`, `examine_history`, `find_frozen`, `sight_of`, `extended`, `examine_metrics`, `view_of`",
        _history,
        lambda: [_history_seed()],
        (*_FLOATS, *_NUMBERS, b"c64", b"optimizer", b"\xff" * 16, b"\x00\x00\xc0\x7f" * 4),
    ),
    Target(
        "statistics",
        "`Accumulator`",
        _statistics,
        _statistics_seeds,
        (b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\xff\xff\x7f\x7f", b"\x01\x00\x00\x00", b"\x00\x00\x00\x80"),
    ),
    Target(
        "deep-headers",
        "`verify_deep`'s `_File`: headers of safetensors and npy against the manifest",
        _deep,
        _deep_seeds,
        (*_JSON, *_HEADERS),
    ),
    Target(
        "saved-upon",
        "`Vault.save` upon a stranger's snapshot: labels, bases, validation, statistics of its parent",
        _saved_upon,
        lambda: [body for body in world.bodies(Kind.PART) if b"f32" in body or b"f16" in body],
        (*_FLOATS, *_NUMBERS, b"f32", b"norm", b"runs"),
        _THREADS,
        _WHY_THREADS,
    ),
]
