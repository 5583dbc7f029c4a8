"""Entries of a run's journal: from a store, after their signature."""

from __future__ import annotations

import msgspec

from fuzz.model import Broken, Target
from fuzz.targets.recoveries import plan_seeds
from holdfast.recovery.journal.entries import FIRST, Deed, Entry, decode_entry, encode_entry
from holdfast.recovery.journal.leaving import LeavingOut, decode_leaving_out, encode_leaving_out
from holdfast.recovery.journal.state import RunState, run_state
from holdfast.recovery.running.executor import plan_of

__all__ = ["TARGETS"]


def _seeds() -> list[bytes]:
    planned = Entry(run="r", number=0, before=FIRST, deed=Deed.PLANNED, by="ada", at=1, plan="{}")
    taken = Entry(run="r", number=1, before=FIRST, deed=Deed.TAKEN, by="plane:1", at=2)
    done = Entry(run="r", number=2, before=FIRST, deed=Deed.DONE, by="plane:1", at=3, step="s", facts={"bytes": 7})
    return [encode_entry(one) for one in (planned, taken, done)]


def _entry(data: bytes) -> None:
    entry = decode_entry("runs/r/0000000000", data)
    if decode_entry("again", encode_entry(entry)) != entry:
        raise Broken("it is another entry when it is written again")
    run_state([entry, entry])


def _leaving_out(data: bytes) -> None:
    approval = decode_leaving_out("runs/r/without/0000000000/a.b/c", data)
    if decode_leaving_out("again", encode_leaving_out(approval)) != approval:
        raise Broken("it is another approval when it is written again")


def _approvals() -> list[bytes]:
    return [encode_leaving_out(LeavingOut(run="r", number=3, before=FIRST, store="a/b", by="ann", at=1, until=2))]


def _plan(data: bytes) -> None:
    plan = plan_of(RunState(plan=data.decode(errors="replace")))
    if plan_of(RunState(plan=msgspec.json.encode(plan, order="sorted").decode())) != plan:
        raise Broken("it is another plan when it is written again")


TARGETS = [
    Target(
        "journal-entry",
        "`decode_entry`, `run_state`",
        _entry,
        _seeds,
        (b'"deed":', b'"facts":{', b"1e308", b"-1", b"9" * 30, b"\\ud800", b"[[[["),
    ),
    Target(
        "journal-leaving-out",
        "`decode_leaving_out`",
        _leaving_out,
        _approvals,
        (b'"number":', b'"until":', b"1e308", b"-1", b"9" * 30, b"\\ud800", b"[[[["),
    ),
    Target(
        "journal-plan",
        "`plan_of`",
        _plan,
        plan_seeds,
        (b'"after":["', b'"kind":"', b"1e308", b"-1", b"9" * 30, b"\\ud800", b"[[[["),
    ),
]
