"""The audit log: whatever lies below `audit/` of a store, what arrives over HTTP, and proofs of strangers."""

from __future__ import annotations

from functools import lru_cache

from fuzz.model import Broken, Target
from holdfast.audit.batches import Batch, batch_key, decode_batch, encode_batch
from holdfast.audit.checkpoint_text import parse_checkpoint_text
from holdfast.audit.declaration import declare, decode_declaration
from holdfast.audit.entries import decode_leaf, encode
from holdfast.audit.layout import CHECKPOINT, CHECKPOINTS, DECLARATIONS, pending_key
from holdfast.audit.merkle import hash_leaf
from holdfast.audit.notes import open_note, parse_note
from holdfast.audit.remembered import decode_remembered
from holdfast.audit.signing_keys import NoteKey, decode_note_key, encode_note_key
from holdfast.audit.spool import Head, Member
from holdfast.audit.tiles import decode_bundle, encode_bundle, parse_tile
from holdfast.audit.tlog_proofs import TlogProof, decode_proof, encode_proof, verify_proof
from holdfast.audit.verifier_keys import parse_vkey
from holdfast.audit.witnessing import Request, Witness, decode_request, encode_request
from holdfast.errors import DamageError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.audit_trials import TrialLog, an_entry
from holdfast.trust.signing import SigningKey, fingerprint

__all__ = ["TARGETS"]

_SIGNER = SigningKey(bytes(range(64)))
_LOG_KEY = NoteKey("log", "fuzz.test/log", bytes(range(32)), bytes(range(32)))
_WITNESS_KEY = NoteKey("witness", "fuzz.test/w", bytes(range(32, 64)), bytes(range(32)))
_JSON = (b'{"', b'":', b"null", b'"v":1', b"[]", b"\\u0000", b"\\ud800", b"1e999", b"-1", b'"signature":"')
_NOTE = ("— ".encode(), b"\n\n", b"\n", b"+", b"AAAA", b"=", b"0", b"9223372036854775808", b"\t", b"\xc2\xa0")


@lru_cache
def _log() -> TrialLog:
    log = TrialLog(MemoryStore(), _LOG_KEY, {"a": _SIGNER})
    for _ in range(3):
        log.write("a")
    log.sequence()
    log.append(4)
    return log


def _copy() -> TrialLog:
    store = _log().store
    assert isinstance(store, MemoryStore)
    return _log().on(store.fork())


def _note(data: bytes) -> None:
    note = parse_note(data, "x")
    if note.encode() != data:
        raise Broken("a note is not written as it was read")
    parse_checkpoint_text(note.text, "x")
    open_note(note, [*_LOG_KEY.keys, *_WITNESS_KEY.keys], "x")


def _checkpoint(data: bytes) -> None:
    """A text that is a checkpoint is written one way; put on the store, it is believed only if the log signed it."""
    log = _copy()
    log.store.put(f"{CHECKPOINTS}0000000009", data)
    if log.reader().get_newest().generation == 9 and log.verify().sound:
        checkpoint = log.checkpoint()
        if checkpoint != _log().checkpoint():
            raise Broken("a checkpoint that the log never signed was believed")
    text = parse_note(data, "x").text
    if parse_checkpoint_text(text, "x").text != text:
        raise Broken("a checkpoint is not written as it was read")


def _tile(data: bytes) -> None:
    """A tile that was changed is never taken for what was signed."""
    log = _copy()
    key = "audit/tile/0/000.p/7"
    sound = data == log.store.get(key)
    log.store.put(key, data)
    if log.verify().sound is not sound:
        raise Broken("a tile that was changed was not found")
    parse_tile(data, 7, "x")


def _bundle(data: bytes) -> None:
    log = _copy()
    key = "audit/tile/entries/000.p/7"
    sound = data == log.store.get(key)
    log.store.put(key, data)
    if log.verify().sound is not sound:
        raise Broken("entries that were changed were not found")
    if encode_bundle(decode_bundle(data, None, "x")) != data:
        raise Broken("a bundle is not written as it was read")


def _proof(data: bytes) -> None:
    proof = decode_proof(data, "x")
    if encode_proof(proof) != data:
        raise Broken("a proof is not written as it was read")
    verify_proof(proof, proof.extra, _LOG_KEY.name, _LOG_KEY.keys)
    log = _log()
    if log.reader().proven_entry(proof.place, log.checkpoint())[0] != proof.extra:
        raise Broken("an entry was proven that is not in the log")


def _entry(data: bytes) -> None:
    """What a member may leave in its spool: in the log comes only what it has signed."""
    log = _copy()
    honest = {log.store.get(pending_key(fingerprint(_SIGNER.public), 3))}
    store = log.store
    store.put(pending_key(fingerprint(_SIGNER.public), 4), data)
    taken = log.sequence(grace_seconds=0)
    if taken.entries and data not in honest and not decode_leaf(data, "x").signed:
        raise Broken("an entry that nobody signed came into the log")
    if not log.verify().sound and not taken.gaps:
        raise Broken("an entry that was taken makes the log unsound")
    leaf = decode_leaf(data, "x")
    if encode(leaf.signed or leaf.entry) != data:
        raise Broken("an entry is not written as it was read")


def _batch(data: bytes) -> None:
    decode_batch(data, _LOG_KEY.keys, batch_key(2, data))


def _declaration(data: bytes) -> None:
    from holdfast.audit.declaration import read_declared

    store = MemoryStore()
    store.put(f"{DECLARATIONS}0000000001", data)
    mark = fingerprint(_SIGNER.public)
    decode_declaration(data, "x")
    read_declared(store, {mark: Member("keeper", "keeper", _SIGNER.public)})


def _request(data: bytes) -> None:
    witness = Witness(_WITNESS_KEY, MemoryStore(), {_LOG_KEY.name: list(_LOG_KEY.keys)})
    answer = witness.add_checkpoint(data)
    if answer.status == 200 and witness.seen(_LOG_KEY.name) not in (_log().checkpoint(), None):
        raise Broken("a checkpoint that the log never signed was cosigned")
    if encode_request(decode_request(data)) != data:
        raise Broken("a request is not written as it was read")


def _vkey(data: bytes) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise DamageError("not text") from None
    if parse_vkey(text).vkey != text.strip():
        raise Broken("a key is not written as it was read")


def _declared() -> bytes:
    store = MemoryStore()
    declare(
        store,
        _SIGNER,
        origin=_LOG_KEY.name,
        keys=_LOG_KEY.keys,
        witnesses=_WITNESS_KEY.keys,
        quorum=1,
        names=False,
        created_ns=1,
        before=None,
    )
    return store.get(f"{DECLARATIONS}0000000001")


def _a_batch() -> bytes:
    entry = encode(an_entry(_log().actor("a")))
    return encode_batch(Batch(2, 0, hash_leaf(entry), {"a": Head(1, "00")}, [entry]), _LOG_KEY)


def _a_proof() -> bytes:
    reader = _log().reader()
    signed = reader.get_newest()
    entry, hashes = reader.proven_entry(5, signed.checkpoint)
    return encode_proof(TlogProof(5, hashes, signed.note, entry))


def _signed() -> bytes:
    return _log().reader().get_newest().note.encode()


TARGETS = [
    Target("audit-note", "`parse_note`, `open_note`", _note, lambda: [_signed(), _log().store.get(CHECKPOINT)], _NOTE),
    Target(
        "audit-checkpoint", "`parse_checkpoint_text`, `LogReader.newest`, `verify_log`", _checkpoint,
        lambda: [_signed()], _NOTE,
    ),
    Target(
        "audit-tile", "`parse_tile`, `verify_log`", _tile, lambda: [_log().store.get("audit/tile/0/000.p/7")],
    ),
    Target(
        "audit-bundle", "`decode_bundle`, `verify_log`", _bundle,
        lambda: [_log().store.get("audit/tile/entries/000.p/7")], (b"\0\0", b"\xff\xff", *_JSON), max_bytes=64 << 10,
    ),
    Target(
        "audit-proof", "`decode_proof`, `verify_proof`", _proof, lambda: [_a_proof()], (b"index ", b"extra ", *_NOTE)
    ),
    Target(
        "audit-entry", "`decode_leaf`, `check_signed`, `sequence_pending`, `Chains`", _entry,
        lambda: [
            _log().store.get(pending_key(fingerprint(_SIGNER.public), 3)),
            encode(an_entry(_log().actor("a"))),
        ],
        _JSON,
    ),
    Target("audit-batch", "`decode_batch`", _batch, lambda: [_a_batch()], _JSON),
    Target("audit-declaration", "`decode_declaration`, `read_declared`", _declaration, lambda: [_declared()], _JSON),
    Target(
        "audit-request", "`decode_request`, `Witness.add_checkpoint`", _request,
        lambda: [encode_request(Request(0, [], _signed()))], (b"old ", *_NOTE),
    ),
    Target(
        "audit-key", "`parse_vkey`", _vkey, lambda: [key.vkey.encode() for key in (*_LOG_KEY.keys, *_WITNESS_KEY.keys)],
        (b"+", b"\x01", b"AQ", b"=="),
    ),
    Target(
        "audit-key-file", "`decode_note_key`", lambda data: encode_note_key(decode_note_key(data, "x")) and None,
        lambda: [encode_note_key(_LOG_KEY)], _JSON,
    ),
    Target(
        "audit-remembered", "`decode_remembered`", lambda data: decode_remembered(data, "x") and None,
        lambda: [
            b'{"place":"x","declared":1,"text":"a\\n1\\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\\n","keys":[]}'
        ],
        _JSON,
    ),
]  # fmt: skip
