"""Announcements in hostile company: only those who take part get into a snapshot, and nobody else reads them."""

from __future__ import annotations

import msgspec
import pytest

from holdfast.clock import ManualClock
from holdfast.errors import ConflictError, CredentialError, DamageError, HoldfastError, UntrustedError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault
from holdfast.training.committing.settling import settle_saves
from holdfast.training.committing.terms import agreed_terms, derived_terms
from holdfast.trust.credentials import Credential
from holdfast.vault.access.members import admit_writer, revoke_signer
from holdfast.vault.format.documents import read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import SAVES, announcement_key
from holdfast.vault.format.records import Announcement, decode_record, encode_record
from holdfast.vault.saving.announcing import own_mark, read_announcements, shared_secret

from .rank_worlds import ASSET, Ranks, arrays_of


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def trial(clock: ManualClock) -> TrialVault:
    return new_trial_vault(MemoryStore(clock), clock=clock)


@pytest.fixture
def trainer(trial: TrialVault) -> Credential:
    return admit_writer(trial.open().handle, "trainer")


@pytest.fixture
def stranger(trial: TrialVault) -> Credential:
    """A member all the same: of another team, with a stolen key."""
    return admit_writer(trial.open().handle, "stranger")


@pytest.fixture
def ranks(trial: TrialVault, trainer: Credential) -> Ranks:
    return Ranks(trial, 3, dict.fromkeys(range(3), trainer))


def forged(trial: TrialVault, stranger: Credential, record: Announcement, secret: bytes) -> None:
    keys = trial.open(stranger).handle.keys
    key = announcement_key(record.save, record.rank)
    trial.store.put(key, write_document(keys, Kind.ANNOUNCEMENT, key, encode_record(record), shared=secret))


def snapshots(trial: TrialVault) -> int:
    return len(trial.open().snapshots())


def test_what_a_stranger_announces_gets_into_no_snapshot(trial: TrialVault, ranks: Ranks, stranger: Credential) -> None:
    """Even one that knows the secret of the save: in the place of a rank, before it, with itself among the signers."""
    terms = ranks.terms()
    saves = [ranks.announced(one, 1) for one in terms[:2]]
    evil = Ranks(trial, 3, dict.fromkeys(range(3), stranger))
    own = agreed_terms(trial.open(stranger).handle.keys.require_writer("x"), terms[0].signers, 3)[2]
    share = evil.stored(own, 1, arrays={"layer2.weight": arrays_of(9, 9)["layer9.weight"]}).share
    assert share is not None
    honest = read_one(trial, terms[0].save, 0)
    mark = own_mark(trial.open(stranger).handle.keys.require_writer("x"))
    for signers in (honest.signers, [mark], [*honest.signers, mark]):
        record = msgspec.structs.replace(honest, rank=2, signers=list(signers), parts=share.links)
        forged(trial, stranger, record, terms[0].secret)
        for save in saves:
            with pytest.raises(UntrustedError, match="takes no part"):
                save.look()
        notes = NoteTaker()
        assert not settle_saves(trial.open(progress=notes))
        assert any("takes no part" in note for note in notes.notes)
    with pytest.raises(ConflictError, match="announced already"):
        ranks.announced(terms[2], 1)
    assert not snapshots(trial)


def test_an_announcement_is_of_its_save_and_rank_only(trial: TrialVault, ranks: Ranks) -> None:
    """Those of an earlier step, or of another rank, put in the place of one that is missing."""
    old = ranks.all_announced(step=1)[0].terms
    terms = ranks.terms()
    save = ranks.announced(terms[0], 2)
    ranks.announced(terms[1], 2)
    for key in (announcement_key(old.save, 2), announcement_key(terms[1].save, 1)):
        trial.store.put(announcement_key(terms[2].save, 2), trial.store.get(key))
        with pytest.raises((UntrustedError, DamageError)):
            save.look()
        assert not settle_saves(trial.open(), "nothing else")
    assert [one.step for one in settle_saves(trial.open())] == [1]
    assert snapshots(trial) == 1


def test_a_genuine_one_that_says_it_is_another_rank(trial: TrialVault, ranks: Ranks, trainer: Credential) -> None:
    """A rank whose program is wrong: its signature holds, what it says does not fit where it lies."""
    terms = ranks.terms()
    save = ranks.announced(terms[0], 2)
    ranks.announced(terms[1], 2)
    for changes, error in (
        ({"rank": 1}, "another rank"),
        ({"rank": 2, "save": "ab" * 8}, "another rank"),
        ({"rank": 2, "step": 3}, "its step"),
        ({"rank": 2, "asset": "other"}, "its asset"),
        ({"rank": 2, "world": 4}, "its world"),
        ({"rank": 2, "policy": "none"}, "not a sound"),
        ({"rank": 2, "stats": {"raw": -1}}, "not a sound"),
        ({"rank": 2, "tags": ["!hold/x"]}, "not a sound"),
        ({"rank": 2, "tags": ["validated"]}, "not a sound"),
        ({"rank": 2, "tags": [""]}, "not a sound"),
    ):
        record = msgspec.structs.replace(read_one(trial, terms[0].save, 0), **changes)
        key = announcement_key(terms[0].save, 2)
        keys = trial.open(trainer).handle.keys
        data = write_document(keys, Kind.ANNOUNCEMENT, key, encode_record(record), shared=terms[0].secret)
        trial.store.put(key, data)
        with pytest.raises(DamageError, match=error):
            save.look()
    assert not snapshots(trial)


def test_one_whose_key_was_revoked_announces_nothing_that_counts(
    trial: TrialVault, ranks: Ranks, stranger: Credential
) -> None:
    mixed = Ranks(trial, 2, {0: ranks.credentials[0], 1: stranger}) if ranks.credentials else ranks
    first, second = mixed.terms()
    saves = [mixed.announced(first, 1), mixed.announced(second, 1)]
    revoke_signer(trial.open().handle, "stranger")
    with pytest.raises(UntrustedError, match="revoked"):
        read_announcements(trial.open().handle, first.save)
    assert not settle_saves(trial.open())
    assert saves and not snapshots(trial)


def test_two_keys_that_take_part_are_one_save(trial: TrialVault, ranks: Ranks, stranger: Credential) -> None:
    assert ranks.credentials is not None
    mixed = Ranks(trial, 2, {0: ranks.credentials[0], 1: stranger})
    saves = mixed.all_announced(step=1)
    assert len(saves[0].terms.signers) == 2
    assert saves[1].finish(1.0).is_new, "also by the one who did not begin it"


def test_a_member_who_takes_no_part_reads_no_announcement(
    trial: TrialVault, ranks: Ranks, trainer: Credential, stranger: Credential
) -> None:
    save = ranks.all_announced(step=1)[0].terms.save
    handle = trial.open(stranger).handle
    signer = handle.keys.require_writer("reading")
    for rank in range(3):
        key = announcement_key(save, rank)
        data = trial.store.get(key)
        assert ASSET.encode() not in data and b"layer" not in data
        with pytest.raises(CredentialError):
            read_document(handle.keys, Kind.ANNOUNCEMENT, key, data)
        with pytest.raises(DamageError, match="seal"):
            read_document(handle.keys, Kind.ANNOUNCEMENT, key, data, shared=shared_secret(signer, save))
    assert not settle_saves(trial.open(stranger))
    assert [one.step for one in settle_saves(trial.open(trainer))] == [1]


def test_junk_of_members_stops_no_other_save(trial: TrialVault, ranks: Ranks, stranger: Credential) -> None:
    """Whole saves of a member's making whose names no save could have, or that are of the next century."""
    honest = read_one(trial, ranks.all_announced(step=1)[0].terms.save, 0)
    mark = own_mark(trial.open(stranger).handle.keys.require_writer("x"))
    for number, changes in enumerate(({"asset": ""}, {"asset": "\0"}, {"created": 1 << 62}, {"created": -(1 << 62)})):
        record = msgspec.structs.replace(honest, save=f"{number:016x}", world=1, signers=[mark], **changes)
        forged(trial, stranger, record, bytes(32))
    notes = NoteTaker()
    assert [one.step for one in settle_saves(trial.open(progress=notes))] == [1]
    assert any("future" in note for note in notes.notes) and any("not a sound" in note for note in notes.notes)


def test_the_same_announcement_is_never_sealed_alike(trial: TrialVault, trainer: Credential) -> None:
    """One that is made again, with other content under the same name, has a key of its own: nonces are always 0."""
    keys = trial.open(trainer).handle.keys
    key = announcement_key("ab" * 8, 0)
    one, other = (write_document(keys, Kind.ANNOUNCEMENT, key, b"same", shared=b"s" * 32) for _ in range(2))
    assert one[32:64] != other[32:64] and one[64 + 1120 :] != other[64 + 1120 :]


def test_secrets_show_nowhere(trial: TrialVault, trainer: Credential) -> None:
    signer = trial.open(trainer).handle.keys.require_writer("saving")
    [terms] = agreed_terms(signer, [], 1)
    assert terms.secret.hex() not in repr(terms) and repr(terms.secret) not in repr(terms)
    assert derived_terms(signer, ASSET, 1, 0, 2).save == derived_terms(signer, ASSET, 1, 1, 2).save
    assert derived_terms(signer, ASSET, 1, 0, 2).save != derived_terms(signer, ASSET, 2, 0, 2).save


@pytest.mark.parametrize("damage", ["cut", "flipped", "junk", "gone"])
def test_damaged_announcements_stop_no_other_save(trial: TrialVault, ranks: Ranks, damage: str) -> None:
    hurt = ranks.all_announced(step=1)[0].terms
    key = announcement_key(hurt.save, 1)
    data = trial.store.get(key)
    broken = {"cut": data[:-40], "flipped": bytes([data[200] ^ 1]), "junk": b"junk"}
    broken["flipped"] = data[:200] + broken["flipped"] + data[201:]
    trial.store.delete(key)
    if damage != "gone":
        trial.store.put(key, broken[damage])
    trial.store.put(f"{SAVES}not-a-save/x", b"junk")
    ranks.all_announced(step=2)
    assert [one.step for one in settle_saves(trial.open())] == [2]


def read_one(trial: TrialVault, save: str, rank: int) -> Announcement:
    key = announcement_key(save, rank)
    keys = trial.open().handle.keys
    return decode_record(read_document(keys, Kind.ANNOUNCEMENT, key, trial.store.get(key)).body, Announcement, key)


def test_all_errors_are_ours(trial: TrialVault) -> None:
    with pytest.raises(HoldfastError):
        derived_terms(trial.open().handle.keys.require_writer("x"), ASSET, None, 0, 1)
    with pytest.raises(HoldfastError):
        agreed_terms(trial.open().handle.keys.require_writer("x"), [], 0)
    with pytest.raises(HoldfastError):
        agreed_terms(trial.open().handle.keys.require_writer("x"), [], 1, deadline_s=1e9)
