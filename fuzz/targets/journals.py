"""Entries of a run's journal: from a store, after their signature."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress

import msgspec

from fuzz.model import Broken, Target
from fuzz.targets.recoveries import plan_seeds
from holdfast.control.hooks.finding import run_events
from holdfast.errors import HoldfastError, StoreUnreachableError
from holdfast.recovery.journal.deciding import NOTHING, Answer, Ask, filling, looking
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
    planned = Entry(run="r", number=0, before=FIRST, deed=Deed.PLANNED, by="ada", at=1, plan=plan_seeds()[0].decode())
    with suppress(HoldfastError, LookupError, ValueError):  # as `Finder` does
        for event in run_events("r", [planned, entry], 0, 0):
            event.body("acme")


def _leaving_out(data: bytes) -> None:
    approval = decode_leaving_out("runs/r/without/0000000000/a.b/c", data)
    if decode_leaving_out("again", encode_leaving_out(approval)) != approval:
        raise Broken("it is another approval when it is written again")


def _approvals() -> list[bytes]:
    return [encode_leaving_out(LeavingOut(run="r", number=3, before=FIRST, store="a/b", by="ann", at=1, until=2))]


def _place(data: bytes) -> None:
    """What strangers put into one place at up to three stores, one a line: nothing, `?` a silent store, `!` what is
    nothing to all readers. Who looks and who fills it come to the same, and so does everybody after them.
    """
    held = dict(enumerate(data.split(b"\n")[:3]))
    count = len(held)

    def answer(ask: Ask) -> Answer:
        there = held[ask.store]
        if there == b"?":
            return StoreUnreachableError("it is silent")
        if not there and ask.data is not None:
            there = held[ask.store] = ask.data
        return there or None

    def asked(asking: Generator[Ask, Answer, bytes | None]) -> bytes | None:
        try:
            ask = next(asking)
            while True:
                ask = asking.send(answer(ask))
        except StopIteration as end:
            found: bytes | None = end.value
            return found

    def void(data: bytes) -> bool:
        return data == NOTHING or data.startswith(b"!")

    before = dict(held)
    seen = asked(looking(count, void=void))
    filled = asked(filling(count, b"mine", void=void))
    if seen is not None and filled != seen:
        raise Broken(f"{before} was {seen!r} to who looked, and {filled!r} to who wrote")
    if asked(looking(count, void=void)) != filled:
        raise Broken(f"{held} is not {filled!r} any more")
    if filled not in (NOTHING, b"mine", *before.values()) or any(before[one] not in (b"", held[one]) for one in held):
        raise Broken(f"{before} became {held}, filled with {filled!r}")


def _plan(data: bytes) -> None:
    plan = plan_of(RunState(plan=data.decode(errors="replace")))
    if plan_of(RunState(plan=msgspec.json.encode(plan, order="sorted").decode())) != plan:
        raise Broken("it is another plan when it is written again")


TARGETS = [
    Target(
        "journal-entry",
        "`decode_entry`, `run_state`, `run_events`",
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
        "journal-place",
        "`filling`, `looking`",
        _place,
        lambda: [b"a\n\na", b"a\nb\n", b"!x\n\n?", b"\n", b"a", b"!a\nb\nb"],
        (b"\n", b"?", b"!", NOTHING, b"mine"),
        max_bytes=64,
    ),
    Target(
        "journal-plan",
        "`plan_of`",
        _plan,
        plan_seeds,
        (b'"after":["', b'"kind":"', b"1e308", b"-1", b"9" * 30, b"\\ud800", b"[[[["),
    ),
]
