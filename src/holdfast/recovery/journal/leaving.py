"""A store of a journal that is gone for good: who says so, who agreed, and what counts from then on.

An entry `WITHOUT` names the store, and carries the approval of another keeper, bound to the run, the store and the
place in the chain where the entry stands. Where all of that is so, the store has no say in this run any more: the
others decide, all of them together; of two, the other one alone.

Why nobody is ever told two different things (tried out in every order of operations by
`tests/unit/recovery/test_slots_left_out.py`):

* Of three stores: the entry is filled at a majority like any other. Who knows less meets it there before it can write
  any later place, and later places are filled by both that are left, which are two of three.
* Of two stores, each place that was filled is at both, so that each alone has all that anybody was told. The entry is
  at the one that is left, where nothing can be created over it: a control plane that reaches the lost store, too, can
  fill that place with nothing else, and meets the entry. What the lost one has at that place was never filled.

What this cannot prevent: each of two stores is said to be gone, by other pairs of keepers on two sides of a cut line.
Then both go on, and whoever sees both is told (DamageError).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import msgspec

from holdfast.errors import DamageError, HoldfastError
from holdfast.recovery.journal.entries import Deed, Entry, Seal

__all__ = ["LeavingOut", "approval_facts", "approval_name", "approval_of", "decode_leaving_out", "encode_leaving_out"]

_PIECE: Final = 4096  # a text among the facts of an entry is no longer


class LeavingOut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An approval: in the journal of `run`, at the place `number`, after the object with the hash `before`, the store
    may be left out. `by`: who agrees; times are ns since the epoch.
    """

    run: str
    number: int
    before: str
    store: str
    by: str
    at: int
    until: int


def encode_leaving_out(approval: LeavingOut) -> bytes:
    """Canonical JSON."""
    return msgspec.json.encode(approval, order="sorted")


def decode_leaving_out(name: str, body: bytes) -> LeavingOut:
    """Raises DamageError."""
    try:
        return msgspec.json.decode(body, type=LeavingOut)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(f"{name} is no approval to leave out a store ({error})", object_name=name) from error


def approval_name(run: str, number: int, store: str, by: str) -> str:
    """What an approval is sealed under; its place at a store follows from it. Names are those of the configuration."""
    return f"runs/{run}/without/{number:010d}/{store.replace('/', '.')}/{by.replace('/', '.')}"


def approval_facts(sealed: bytes, by: str) -> dict[str, str | int | float | bool]:
    """What the entry carries of the approval."""
    text = base64.b64encode(sealed).decode()
    pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
    facts: dict[str, str | int | float | bool] = {"approved_by": by, "pieces": len(pieces)}
    return facts | {f"approval{number}": piece for number, piece in enumerate(pieces)}


def approval_of(entry: Entry, stores: Sequence[str], seal: Seal) -> LeavingOut | None:
    """The approval by which the entry leaves out one of these stores; None where it does not. Whatever it holds."""
    if entry.deed is not Deed.WITHOUT or entry.text not in stores or len(stores) < 2:
        return None
    try:
        pieces = [str(entry.facts[f"approval{number}"]) for number in range(min(64, int(entry.facts["pieces"])))]
        sealed = base64.b64decode("".join(pieces), validate=True)
        by = str(entry.facts["approved_by"])
        name = approval_name(entry.run, entry.number, entry.text, by)
        approval = decode_leaving_out(name, seal.open(name, sealed))
    except (HoldfastError, KeyError, ValueError, TypeError, binascii.Error):
        return None
    bound = (approval.run, approval.number, approval.before, approval.store, approval.by)
    if bound != (entry.run, entry.number, entry.before, entry.text, by):
        return None
    return approval if approval.at <= entry.at < approval.until and _others(by, entry.by) else None


def _others(one: str, other: str) -> bool:
    """Two keys: whoever signs for several people with one key is one here."""
    return one.partition("/")[0] != other.partition("/")[0]
