"""An entry that says it is a control plane's is no person's word: any keeper could have signed it."""

from __future__ import annotations

import pytest

from holdfast.control.recovering.seals import VaultSeal
from holdfast.errors import UntrustedError
from holdfast.recovery.journal.entries import Deed, Entry, encode_entry
from holdfast.recovery.journal.leaving import LeavingOut, approval_name, encode_leaving_out
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import new_trial_vault

RUN = "0" * 20


def entry(deed: Deed, by: str) -> Entry:
    return Entry(run=RUN, number=1, before="0" * 64, deed=deed, by=by, at=1)


@pytest.mark.parametrize("deed", [Deed.APPROVED, Deed.ASKED, Deed.WITHOUT])
def test_nobody_approves_as_a_control_plane(deed: Deed) -> None:
    seal = VaultSeal(new_trial_vault(MemoryStore()).open().handle.keys)
    name = f"runs/{RUN}/{1:010d}"
    sealed = seal.seal(name, encode_entry(entry(deed, "plane:0123")))
    with pytest.raises(UntrustedError, match="speaks for 'plane:0123'"):
        seal.open(name, sealed)
    taken = seal.seal(name, encode_entry(entry(Deed.TAKEN, "plane:0123")))
    assert seal.open(name, taken)


def test_nobody_agrees_to_leave_a_store_out_as_a_control_plane() -> None:
    seal = VaultSeal(new_trial_vault(MemoryStore()).open().handle.keys)
    name = approval_name(RUN, 1, "a/warm", "plane:0123")
    made = LeavingOut(run=RUN, number=1, before="0" * 64, store="a/warm", by="plane:0123", at=1, until=2)
    with pytest.raises(UntrustedError, match="speaks for 'plane:0123'"):
        seal.open(name, seal.seal(name, encode_leaving_out(made)))
