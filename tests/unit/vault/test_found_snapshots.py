"""Who wrote a snapshot, what its id means, and how a poisoned one is got rid of."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from holdfast.errors import NotFoundError, RefusedError, UsageError
from holdfast.ids import SnapshotId, new_snapshot_id
from holdfast.testing.workspace import TrialVault
from holdfast.vault.access.members import admit_writer
from holdfast.vault.format.documents import write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.records import encode_record


def test_the_writer_that_is_shown_is_who_signed(trial: TrialVault, make_snapshot: Any) -> None:
    root = make_snapshot()
    thief = trial.open(admit_writer(trial.open().handle, "stolen")).handle
    snapshot = new_snapshot_id(trial.clock.now_ns() + 1_000_000)
    forged = msgspec.structs.replace(root, id=snapshot, writer="keeper")
    key = thief.keys.names.snapshot_key("llama", SnapshotId(snapshot))
    trial.store.create(key, write_document(thief.keys, Kind.ROOT, key, encode_record(forged)))
    assert trial.open().find(snapshot).writer == "stolen"
    assert trial.open().find(root.id).writer == "keeper"


def test_a_full_id_means_that_snapshot_whatever_else_bears_its_name(trial: TrialVault, make_snapshot: Any) -> None:
    meant = make_snapshot()
    other = make_snapshot(meant.id)
    assert trial.open().find(meant.id) == trial.open().find(meant.id.upper()) == meant
    assert trial.open().find(f"{meant.id}@latest") == other
    tagged = make_snapshot(tags=[meant.id])
    assert trial.open().find(f"llama@{meant.id}") == meant != tagged


@pytest.mark.parametrize("digits", [20, 900, 10_000])
def test_a_step_of_very_many_digits(trial: TrialVault, make_snapshot: Any, digits: int) -> None:
    make_snapshot(step=5)
    with pytest.raises(NotFoundError if digits < 1000 else UsageError):
        trial.open().find(f"llama@step={'9' * digits}")


def test_a_poisoned_validated_snapshot_can_be_dropped(trial: TrialVault, make_snapshot: Any) -> None:
    """Its content time is newer than all others will be: what the hint says moves the pointer, and it goes."""
    good = make_snapshot()
    poisoned = make_snapshot()
    assert trial.open().find("llama@validated") == poisoned
    with pytest.raises(RefusedError) as caught:
        trial.open().plan_drop(poisoned.id)
    assert "--accept-findings" in caught.value.hint
    assert not trial.open().verify(good.id).validated
    assert trial.open().verify(good.id, accept_findings=True).validated
    vault = trial.open()
    vault.apply_drop(vault.plan_drop(poisoned.id))
    assert trial.open().find("llama") == trial.open().find("llama@validated") == good
    assert trial.open().check().damages == []
