"""Recoveries: plans from files that somebody sent, claims beside a target, and what a journal's entry is packed in."""

from __future__ import annotations

import msgspec
import zstandard

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.control.recovering.claims import Claim, decode_claim
from holdfast.control.recovering.plan_files import decode_plan_file, encode_plan_file, plan_file
from holdfast.control.recovering.seals import VaultSeal, unpacked
from holdfast.infra.calling.commands import scrubbed
from holdfast.recovery.estimates import NOTHING
from holdfast.recovery.intents import Intent, Strategy
from holdfast.recovery.journal.entries import FIRST, Deed, Entry, encode_entry
from holdfast.recovery.plans import Kind, Plan, Step
from holdfast.vault.format.header import Kind as Document

__all__ = ["TARGETS", "plan_seeds"]


def plan_seeds() -> list[bytes]:
    """A plan, as a journal has it."""
    intent = Intent(name="to-eu", assets=("llama",), to=("euw4",), strategy=Strategy.PILOT_LIGHT, by="ada")
    steps = (
        Step(id="restore-llama", kind=Kind.RESTORE, title="t", site="euw4", estimate=NOTHING, undo="remove it"),
        Step(
            id="verify-llama",
            kind=Kind.VERIFY,
            title="t",
            site="euw4",
            after=("restore-llama",),
            estimate=NOTHING,
            no_undo="it reads",
        ),
    )
    plan = Plan(
        intent=intent,
        site="euw4",
        facts_at=1,
        fresh_until=2,
        chosen=(),
        steps=steps,
        detecting=NOTHING,
        deciding=NOTHING,
    )
    return [msgspec.json.encode(plan, order="sorted")]


def _plan_seeds() -> list[bytes]:
    plan = msgspec.json.decode(plan_seeds()[0], type=Plan)
    return [encode_plan_file(plan_file(plan, ("euw4/warm", "aps1/warm")))]


def _plan(data: bytes) -> None:
    file = decode_plan_file(data, "plan.json")
    again = encode_plan_file(file)
    if decode_plan_file(again, "again") != file:
        raise Broken("it is another plan when it is written again")


def _claim(data: bytes) -> None:
    claim = decode_claim(data, "claim")
    if decode_claim(msgspec.json.encode(claim), "again") != claim:
        raise Broken("it is another claim when it is written again")


def _claim_seeds() -> list[bytes]:
    return [msgspec.json.encode(Claim(key="r/restore-llama", asset="llama", snapshot="s" * 26, emptied=False))]


def _packed(data: bytes) -> None:
    if len(unpacked("runs/r/0000000000", data)) > 8 << 20:
        raise Broken("more came out than a journal's entry may have")


_NAME = "runs/r/0000000000"


def _sealed(data: bytes) -> None:
    """What a keeper's key signed: whatever it says of itself, and in whose name."""
    packed = zstandard.ZstdCompressor().compress(data)
    if VaultSeal(world.keys(True)).open(_NAME, world.resealed(Document.LEASE, _NAME, packed, encrypted=True)) != data:
        raise Broken("another entry came out than was sealed")


def _stored(data: bytes) -> None:
    """What lies at a store, as it is: an entry, or nothing."""
    if VaultSeal(world.keys(False)).open(_NAME, data) != _entry():
        raise Broken("an entry that no keeper signed")


def _entry() -> bytes:
    return encode_entry(Entry(run="r", number=0, before=FIRST, deed=Deed.PLANNED, by="keeper", at=1, plan="{}"))


def _stored_seeds() -> list[bytes]:
    return [world.resealed(Document.LEASE, _NAME, zstandard.ZstdCompressor().compress(_entry()))]


def _said(data: bytes) -> None:
    """What a command said goes to a journal and a terminal: one short line, whatever it was."""
    said = scrubbed(data.decode(errors="replace"))
    if len(said) > 500 or not said.isprintable():
        raise Broken(f"this is not one printable line: {said!r}")


TARGETS = [
    Target("plan-file", "`decode_plan_file`", _plan, _plan_seeds, (b'"kind":', b"1e308", b"\\ud800", b"[[[[")),
    Target("restore-claim", "`decode_claim`", _claim, _claim_seeds, (b'"key":', b"[[[[")),
    Target(
        "packed-entry", "`unpacked`", _packed, lambda: [zstandard.ZstdCompressor().compress(b"{}" * 99)], (b"\x28",)
    ),
    Target(
        "sealed-entry",
        "`VaultSeal.open`, sealed by a keeper",
        _sealed,
        lambda: [_entry()],
        (b'"by":"', b"plane:", b"keeper/ann", b"-1", b"\\ud800", b"[[[["),
    ),
    Target("stored-entry", "`VaultSeal.open`, as stored", _stored, _stored_seeds, (b"\x28\xb5\x2f\xfd",)),
    Target("said-by-commands", "`scrubbed`", _said, lambda: [b"token=abcdef\n\x1b[31m"], (b"secret=", b"\x00")),
]
