"""What a snapshot says of its circumstances and of its interval, and what DVC leaves beside data."""

from __future__ import annotations

import math

import msgspec

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.clock import ManualClock
from holdfast.control.evidencing.pricing import step_seconds_in
from holdfast.objectives.failure_rates import given_rate
from holdfast.objectives.intervals import SaveCost
from holdfast.stores.memory import MemoryStore
from holdfast.training.circumstances.comparing import compare
from holdfast.training.circumstances.datasets import dataset_version, dvc_outputs
from holdfast.training.circumstances.digests import digests
from holdfast.training.circumstances.model import (
    Circumstances,
    Code,
    Dataset,
    Environment,
    Layout,
    encoded,
    parsed,
)
from holdfast.training.circumstances.scrubbing import scrubbed
from holdfast.training.groups.barrier import Barrier, run_of
from holdfast.training.groups.together import SharedCut
from holdfast.training.intervals.interval import Interval
from holdfast.training.intervals.told import META_NAME, note_in, note_text

__all__ = ["TARGETS"]


def _circumstances(data: bytes) -> None:
    found = parsed(data)
    for line in digests(found).values():
        line.encode()
    if parsed(encoded(found)) != found:
        raise Broken("circumstances do not come back")
    if compare(found, found):
        raise Broken("circumstances differ from themselves")
    for change in compare(found, _some()):
        (change.before + change.after + change.name).encode()


def _some() -> Circumstances:
    return Circumstances(
        step=5,
        code=Code(commit="c" * 40, branch="main", diff="+x", diff_sha256="d" * 64, untracked=["a"], untracked_count=1),
        packages={"torch": "2.13.0", "numpy": "2.4.6"},
        environment=Environment(python="3.11.2", gpus=["H100"], settings={"a": "b"}, variables={"X": "1"}),
        layout=Layout(world=8, dims={"dp": 4, "tp": 2}),
        datasets={"train": Dataset(kind="dvc", location="data", version="md5:1")},
        hyperparameters={"lr": "0.1"},
        states={"random": "python"},
    )


def _note(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    note, seconds = note_in({META_NAME: text}), step_seconds_in(text)
    if seconds is not None and not 0 < seconds < math.inf:
        raise Broken("a step takes a time that cannot be")
    if note is None:
        return
    if (note.step_seconds or None) != seconds:
        raise Broken("two readers disagree about the time of a step")
    if note.rate is not None and not note.rate.mtbf_seconds > 0:
        raise Broken("a rate without a mean time")
    again = note_in({META_NAME: note_text(note)})
    if again != note and len(note_text(note)) <= 8192:
        raise Broken("a note does not come back")


def _note_seed() -> bytes:
    interval = Interval(rpo_seconds=900, rate=given_rate(86_400), cost=SaveCost(stopped_seconds=1.5))
    return interval.metadata()[META_NAME].encode()


def _scrub(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    once = scrubbed(text)
    if len(once) > len(text) * 10 + 100:
        raise Broken("scrubbing makes text grow")


def _dvc(data: bytes) -> None:
    for path, version in dvc_outputs(data, "x.dvc").items():
        if not isinstance(path, str) or not version:
            raise Broken("an output without a path or a version")
        msgspec.json.encode(version.encode("utf-8", "replace"))


def _dataset_name(data: bytes) -> None:
    """The second line names the version of the first, where it is no URL."""
    text = data.decode("utf-8", "replace")
    kind = "hf://" if text.startswith("hf") else "lakefs://"
    found = dataset_version(kind + text.partition("\n")[0])
    (found.location + found.version).encode()
    if not found.version:
        raise Broken(f"{text!r} names no version, and was taken")


def _barrier(data: bytes) -> None:
    """Two ranks of which one is a stranger: it writes what it wants as announcement, decision, and news."""
    announced, _, rest = data.partition(b"\n")
    decided, _, news = rest.partition(b"\n")
    store = MemoryStore()
    store.put("run/group/1/ready/rank-1", announced)
    if decided:
        store.put("run/group/1/ready/decision", decided)
    store.put("run/group/1/commit/told", news)
    barrier = Barrier(store, run="run", rank=0, world=2, clock=ManualClock())
    meeting = barrier.meet("ready", 1, seconds=5)
    if meeting.agreed and meeting.why:
        raise Broken(f"agreed, and yet {meeting.why}")
    barrier.told("commit", 1, seconds=0.0)
    run_of({"SLURM_JOB_ID": news.decode("utf-8", "replace")})


def _rank_cuts(data: bytes) -> None:
    """What the other rank of a job left beside its members, or something else did."""
    staging = world.scratch() / "cuts"
    shared = SharedCut(staging, Barrier(MemoryStore(), run="run", rank=0, world=1), 1)
    content = shared.begin([])
    try:
        (content / "weights").mkdir()
        (content.parent / "rank-0.json").write_bytes(data)
        for one in shared.all_cuts():
            if not (content / one.name).exists():
                raise Broken(f"member {one.name!r} is not there, and was taken")
    finally:
        shared.remove()


_JSON = (b"null", b"-1", b"1e400", b'"\\ud800"', b"[" * 2000, b"true", b"9" * 400, b"\xff")

TARGETS = [
    Target("circumstances", "`parsed`, `digests`, `compare`", _circumstances, lambda: [encoded(_some())], _JSON),
    Target("interval-note", "`note_in`, `step_seconds_in`", _note, lambda: [_note_seed()], _JSON),
    Target(
        "scrubbing",
        "`scrubbed`",
        _scrub,
        lambda: [b"API_KEY = 'x'\nhttps://a:b@c/d?sig=5\n-----BEGIN PRIVATE KEY-----\nhf_ABCDEFGHIJKLMNOPQRSTUVWX"],
        (b"token=", b"://", b"@", b"eyJ", b"-----BEGIN PRIVATE KEY-----", b"a" * 3000, b'"', b"secret" * 50),
    ),
    Target(
        "dataset-name",
        "`dataset_version`: lakeFS and Hugging Face references",
        _dataset_name,
        lambda: [b"repo/" + b"a" * 64 + b"/train/", b"hf/acme/corpus@" + b"b" * 40, b"hf@", b"/"],
        (b"@", b"/", b"lakefs://", b"\xff", b"\0", b"main"),
    ),
    Target(
        "barrier",
        "`Barrier.meet`, `Barrier.told`, `run_of`",
        _barrier,
        lambda: [
            b'{"ok":true}\n\nx',
            b'{"ok":false,"why":"x"}\n{"agreed":true}\n-',
            b'{"ok":true}\n{"agreed":false}\n7',
        ],
        (*_JSON, b'"missing":[', b'"failed":[9999999999]', b"\n"),
    ),
    Target(
        "rank-cuts",
        "`SharedCut.all_cuts`",
        _rank_cuts,
        lambda: [b'[["weights","/x",1,2,0]]', b"[]", b'[["../../x","",1,1,0]]', b'[[".","",1,1,0]]'],
        (*_JSON, b'"\\u0000"', b"../", b"/etc", b'"' + b"a" * 300 + b'"'),
    ),
    Target(
        "dvc-file",
        "`dvc_outputs`",
        _dvc,
        lambda: [b"outs:\n- md5: 1a.dir\n  size: 5\n  path: train\n", b"stages:\n  a:\n    outs:\n    - path: x\n"],
        (b"- ", b": ", b"&a", b"*a", b"<<", b"!!python/object", b"[" * 500, b"2024-13-99", b"0o7", b"{"),
    ),
]
