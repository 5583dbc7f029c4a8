"""An audit log on the object stores of each dialect: two sequencers, a witness at another site, and a damage."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from holdfast.audit.cosigning import store_cosignatures, witness_here
from holdfast.audit.layout import CHECKPOINT
from holdfast.audit.signing_keys import NoteKey
from holdfast.audit.witnessing import Witness
from holdfast.errors import DamageError
from holdfast.stores.local import LocalStore
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.testing.audit_trials import new_trial_log, put_back
from holdfast.testing.gcs_double import GcsDouble
from holdfast.testing.servers import AzuriteServer, SeaweedServer

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("dialect", ["seaweed", "azurite", "gcs", "folder"])
def test_a_log_lives_on_every_dialect(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with ExitStack() as stack:
        store: Store = LocalStore(tmp_path / "log")
        if dialect != "folder":
            endpoint: SeaweedServer | AzuriteServer | GcsDouble = request.getfixturevalue(dialect)
            stack.enter_context(endpoint.in_environment())
            store = open_store(f"{endpoint.url}/{tmp_path.name}", options=endpoint.options)
        _lives(store, LocalStore(tmp_path / "witness"), LocalStore(tmp_path / "earlier"))


def _lives(store: Store, own: Store, earlier: Store) -> None:
    log = new_trial_log(store, "a", "b")
    for label in "abab":
        log.write(label)
    workers = [threading.Thread(target=log.sequence) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    log.append(300)
    witness = Witness(NoteKey.generate("witness", "b.test/w"), own, {log.key.name: log.key.keys})
    signed = log.reader().get_newest()
    store_cosignatures(store, signed.generation, witness_here(witness, log.reader(), signed))
    log.writer().publish()
    assert store.get(CHECKPOINT).decode().count("— ") == 4
    report = log.verify(witnesses=witness.key.keys, quorum=1)
    assert (report.findings, report.entries, report.witnesses) == ([], 304, {"b.test/w"})
    put_back(earlier, store)
    log.append(5)
    witness_here(witness, log.reader(), log.reader().get_newest())
    newest = log.checkpoint()
    put_back(store, earlier)
    assert {one.kind for one in log.verify(remembered=newest).findings} == {"rollback"}
    with pytest.raises(DamageError, match="rolled back"):
        witness_here(witness, log.reader(), log.reader().get_newest())
