"""What `train-exec` reads: the error file of torch, its own state in a shared folder, records of attempts, and places
that snapshots claim.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import msgspec

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.errors import HoldfastError, UsageError
from holdfast.training.executing.attempts import Attempt, decode, encode, judge, merged, skipped_spans
from holdfast.training.executing.commands.ends import Recoverable, end_of
from holdfast.training.executing.commands.torch_errors import device_error_in
from holdfast.training.executing.folder import Kept, decode_kept
from holdfast.training.executing.placing import safe_place, write_trackers
from holdfast.training.executing.vaults import checkpoint_of_root
from holdfast.vault.format.records import Root, Validation

__all__ = ["TARGETS"]

_ATTEMPT = Attempt("00" * 8, 1, host="a", step=5, written=7, place="step_5", fell_back=True, span_from=3, end="HANG")
_JSON = (b'{"', b'":', b"null", b"[]", b'"attempts":', b'"message":', b"CUDA error", b"1e999", b"-1", b"\\ud800", b"{}")
_PLACES = (b"../", b"/", b"\0", b".", b"step_5", b"latest: ", b"latest_checkpointed_iteration.txt: ", b"\n", b"\xff")


def _error_file(data: bytes) -> None:
    line = device_error_in(data)
    if len(line) > 160 or not line.isprintable():
        raise Broken(f"{line!r} is told as it came")


def _state(data: bytes) -> None:
    kept = decode_kept(data)
    if kept.rate is not None and not 0 < kept.rate < 1e15:
        raise Broken(f"a rate of {kept.rate}")
    attempts = merged(kept.attempts, [one for one in (decode(line) for line in data.splitlines()) if one is not None])
    for attempt in attempts[:20]:
        decode(encode(attempt))  # cut to what a ref may hold
        if judge(attempts, attempt.step, attempt.written).verdict not in ("go", "fall-back", "give-up"):
            raise Broken("no verdict")
    skipped_spans(attempts)


def _claims(data: bytes) -> None:
    """Lines: what a snapshot's metadata say of its place, its time and its trackers."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    place = safe_place(lines[0])
    folder = world.scratch() / "executing"
    if place is not None:
        parts = PurePosixPath(place).parts
        if ".." in parts or place.startswith("/") or not Path(folder, place).is_relative_to(folder):
            raise Broken(f"{place!r} leads out of the folder")
    meta = dict(zip(("place", "written", "checkpoint"), lines, strict=False))
    root = Root("0" * 26, "a", 9, 8, 5, [], "", "folder", "n", [], meta, {}, {}, Validation("warn", "good", [], []))
    if safe_place(checkpoint_of_root(root).place) is None:
        raise Broken("a place that is not safe")
    (folder / "step_5").mkdir(parents=True, exist_ok=True)
    try:
        written = write_trackers(folder, "step_5", "\n".join(lines))
    except HoldfastError:
        return
    if set(written) - {"latest", "latest_checkpointed_iteration.txt"}:
        raise Broken(f"{written} are no trackers")


def _ends(data: bytes) -> None:
    try:
        Recoverable.parse(data.decode("utf-8", "surrogateescape")).covers(end_of(int.from_bytes(data[:2], "big")))
    except UsageError:
        return


TARGETS = [
    Target(
        "train-exec-error-file",
        "`device_error_in`",
        _error_file,
        lambda: [b'{"message":{"message":"RuntimeError: CUDA error: x","extraInfo":{}}}', b'{"message":"x"}'],
        _JSON,
    ),
    Target(
        "train-exec-state",
        "`decode_kept`, `decode`, `merged`, `judge`",
        _state,
        lambda: [msgspec.json.encode(Kept(1, [_ATTEMPT], 5.0)), encode(_ATTEMPT).encode()],
        _JSON,
    ),
    Target(
        "train-exec-claims",
        "`safe_place`, `checkpoint_of_root`, `write_trackers`",
        _claims,
        lambda: [b"step_5\n7\nlatest: step_5", b"a/b/step_5\n0\nx"],
        _PLACES,
    ),
    Target("train-exec-ends", "`Recoverable.parse`, `end_of`", _ends, lambda: [b"1,75,SIGKILL,GPU_ERROR", b"any"]),
]
