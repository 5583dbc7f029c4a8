"""Documents as bytes: what is written is read, and whatever else comes is an error of ours that names the object."""

from __future__ import annotations

from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import CredentialError, DamageError, HoldfastError, UntrustedError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import new_trial_vault
from holdfast.vault.access.members import admit_reader, admit_writer
from holdfast.vault.format.documents import read_config, read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.scrubbing import scrub_object
from holdfast.vault.handle import Handle

NAME = "snapshots/" + "a" * 32 + "/" + "0" * 26
KINDS = [Kind.ROOT, Kind.REF, Kind.PART, Kind.INDEX]


@pytest.fixture(scope="module", params=[True, False], ids=["encrypted", "plain"])
def handle(request: pytest.FixtureRequest) -> Handle:
    return new_trial_vault(MemoryStore(), encrypted=request.param).open().handle


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("record", [b"", b"x", bytes(100_000)], ids=len)
def test_what_is_written_is_read(handle: Handle, kind: Kind, record: bytes) -> None:
    data = write_document(handle.keys, kind, NAME, record)
    assert read_document(handle.keys, kind, NAME, data).body == record
    assert write_document(handle.keys, kind, NAME, record) != data or not handle.keys.private


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_is_bound_to_its_name_and_kind(handle: Handle, kind: Kind) -> None:
    data = write_document(handle.keys, kind, NAME, b"record")
    for other in KINDS:
        if other is not kind:
            with pytest.raises(DamageError, match="another kind"):
                read_document(handle.keys, other, NAME, data)
    if kind is not Kind.INDEX:  # an index is named by its bytes
        with pytest.raises((DamageError, UntrustedError), match="elsewhere"):
            read_document(handle.keys, kind, "elsewhere", data)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_bytes_at_all(handle: Handle, data: Any) -> None:
    """Random bytes, with and without a right beginning and a right checksum."""
    kind = data.draw(st.sampled_from([*KINDS, Kind.CONFIG]))
    start = data.draw(st.sampled_from([b"", b"HOLDFAST", b"HOLDFAST" + kind.value + b"\1"]))
    if data.draw(st.booleans()):
        start = handle.keys.header(kind).pack()
    body = start + data.draw(st.binary(max_size=6000))
    if data.draw(st.booleans()):
        body += blake3(body).digest()
    with pytest.raises(HoldfastError, match=NAME) as caught:
        read_config(NAME, body) if kind is Kind.CONFIG else read_document(handle.keys, kind, NAME, body)
    assert caught.value.exit_code in (4, 7) and caught.value.hint and caught.value.object_name == NAME


@pytest.mark.parametrize("kind", KINDS)
def test_a_stranger_reads_and_signs_nothing(kind: Kind) -> None:
    mine = new_trial_vault(MemoryStore()).open().handle.keys
    theirs = new_trial_vault(MemoryStore()).open().handle.keys
    data = write_document(theirs, kind, NAME, b"record")
    with pytest.raises(DamageError, match="another vault"):
        read_document(mine, kind, NAME, data)


def test_roles_at_documents() -> None:
    trial = new_trial_vault(MemoryStore())
    writer, reader = admit_writer(trial.open().handle, "w"), admit_reader(trial.open().handle, "r")
    written = write_document(trial.open(writer).handle.keys, Kind.ROOT, NAME, b"record")
    assert read_document(trial.open(reader).handle.keys, Kind.ROOT, NAME, written).body == b"record"
    assert read_document(trial.open().handle.keys, Kind.ROOT, NAME, written).body == b"record"
    with pytest.raises(CredentialError):
        read_document(trial.open(writer).handle.keys, Kind.ROOT, NAME, written)
    with pytest.raises(CredentialError):
        write_document(trial.open(reader).handle.keys, Kind.ROOT, NAME, b"record")
    indexed = write_document(trial.open(writer).handle.keys, Kind.INDEX, NAME, b"record")
    assert read_document(trial.open(writer).handle.keys, Kind.INDEX, NAME, indexed).body == b"record"


@pytest.mark.parametrize("kind", KINDS)
def test_scrubbing_needs_no_key(handle: Handle, kind: Kind) -> None:
    data = write_document(handle.keys, kind, NAME, b"record")
    key = f"index/{blake3(data).hexdigest()}" if kind is Kind.INDEX else NAME
    scrub_object(key, data)
    for harm in (data[:-1], data + b"x", data[:40], b"", data[:50] + b"\0\1" + data[52:]):
        with pytest.raises(DamageError, match=key):
            scrub_object(key, harm)
