"""Signed notes, checkpoints, keys and proofs against published examples, and against what should be refused.

The example key and note are those of golang.org/x/mod/sumdb/note (BSD-3), to which C2SP signed-note goes back; the
checkpoint, the cosigned checkpoint and the proof are the examples in the specifications themselves.
"""

from __future__ import annotations

import base64

import pytest
from dilithium_py.ml_dsa import ML_DSA_44

from holdfast.audit.checkpoint_text import Checkpoint, parse_checkpoint_text
from holdfast.audit.entries import ENTRY_MAX, Actor, check_entry, decode_leaf, encode
from holdfast.audit.merkle import EMPTY_ROOT
from holdfast.audit.notes import Note, open_note, parse_note
from holdfast.audit.signing_keys import NoteKey, decode_note_key, encode_note_key, load_note_key, write_note_key
from holdfast.audit.tlog_proofs import TlogProof, decode_proof, encode_proof, verify_proof
from holdfast.audit.verifier_keys import Kind, key_id_of, mldsa_message, parse_vkey
from holdfast.errors import CredentialError, DamageError, HoldfastError, RefusedError, UntrustedError, UsageError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.audit_trials import an_entry, new_trial_log

_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
_NOTE = (
    f"{_TEXT}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJ"
    "nAM=\n"
)
_SOFA = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xe"
    "McTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+m"
    "bIUBkBIfZ+qnA==\n"
)


def test_the_example_note_verifies_and_is_what_the_example_key_signs() -> None:
    key = parse_vkey(_VKEY)
    assert open_note(parse_note(_NOTE.encode(), "x"), [key], "x").signed == {key: None}
    signer = NoteKey("log", "PeterNeumann", _SEED, bytes(32))
    assert signer.keys[0] == key, "the public key of the example's private key"
    assert parse_note(_NOTE.encode(), "x").encode() == _NOTE.encode()


def test_the_example_checkpoint_of_the_specifications() -> None:
    note = parse_note(_SOFA.encode(), "x")
    checkpoint = parse_checkpoint_text(note.text, "x")
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text == note.text
    assert note.encode() == _SOFA.encode()
    assert int.from_bytes(note.signatures[1].signature[:8], "big") == 1679315147, "the time of the example"
    assert len(note.signatures[1].signature) == 72


def test_the_structure_that_mldsa_signs_is_that_of_the_specification() -> None:
    text = Checkpoint("example.com/log", 258, bytes(range(32))).text
    assert mldsa_message("w.example", 1, text, "x") == (
        b"subtree/v1\n\0" + b"\x09w.example" + bytes(7) + b"\x01" + b"\x0fexample.com/log"
        + bytes(8) + bytes(6) + b"\x01\x02" + bytes(range(32))
    )  # fmt: skip


def test_key_ids_tell_kinds_apart() -> None:
    ids = {key_id_of("example.com", kind, bytes(32)) for kind in Kind}
    assert len(ids) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        _TEXT,
        _NOTE[:-1],
        _NOTE.replace("— ", "- "),
        _NOTE.replace("PeterNeumann ", "Peter Neumann "),
        _NOTE.replace("PeterNeumann ", "Peter+Neumann "),
        _NOTE.replace("problem is.", "problem\tis."),
        _NOTE.replace("AM=", "AM"),
        _NOTE.replace("AM=", "AN="),
        _NOTE + "— x AAAA\n",
        _NOTE + "".join(f"— x{number} AAAAAAA=\n" for number in range(64)),
        _TEXT * 4000 + _NOTE,
    ],
)
def test_what_is_no_note(text: str) -> None:
    with pytest.raises(DamageError):
        parse_note(text.encode(), "x")


def test_a_signature_of_a_known_key_that_is_wrong_spoils_the_note_and_one_of_an_unknown_key_does_not() -> None:
    key, changed = parse_vkey(_VKEY), parse_note(_NOTE.replace("problem is", "question is").encode(), "x")
    with pytest.raises(UntrustedError, match="wrong"):
        open_note(changed, [key], "x")
    stranger = NoteKey.generate("log", "PeterNeumann")
    with pytest.raises(UntrustedError, match="nobody"):
        open_note(parse_note(_NOTE.encode(), "x"), stranger.keys, "x")
    signed = open_note(parse_note(_NOTE.encode(), "x"), [*stranger.keys, key], "x").signed
    assert list(signed) == [key]


def test_a_cosignature_is_bound_to_the_name_of_its_key() -> None:
    """ML-DSA cosignatures sign the name: the same key under another name does not verify."""
    key, checkpoint = NoteKey.generate("witness", "a.test"), Checkpoint("x.test/log", 0, EMPTY_ROOT)
    lines = key.sign(checkpoint, 7)
    renamed = NoteKey("witness", "b.test", *key.seeds)
    swapped = [one._replace(name="b.test", key_id=other.key_id) for one, other in zip(lines, renamed.keys, strict=True)]
    with pytest.raises(UntrustedError):
        open_note(Note(checkpoint.text, (swapped[1],)), renamed.keys, "x")
    changed = [one._replace(signature=(8).to_bytes(8, "big") + one.signature[8:]) for one in lines]
    for line in changed:
        with pytest.raises(UntrustedError):
            open_note(Note(checkpoint.text, (line,)), key.keys, "x")


@pytest.mark.parametrize(
    "text", ["", "x", "a+b+c", _VKEY[:-1], _VKEY.replace("c74f20a3", "c74f20a4"), "x+00000000+AgAA", _VKEY + "\n+"]
)
def test_what_is_no_verifier_key(text: str) -> None:
    with pytest.raises(UsageError):
        parse_vkey(text)


@pytest.mark.parametrize(
    "text",
    [
        "a\n1\n\n",
        "a\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "a\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "a\n9223372036854775808\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n",
        "a\n1\nCsUY\n",
        "a\n0\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(DamageError):
        parse_checkpoint_text(text, "x")


def test_key_files_are_private_and_tell_their_use(tmp_path) -> None:
    key = NoteKey.generate("log", "x.test/log")
    path = tmp_path / "new" / "a.key"
    write_note_key(key, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_note_key(path, "log").keys == key.keys
    with pytest.raises(CredentialError, match="key of a log"):
        load_note_key(path, "witness")
    with pytest.raises(RefusedError):
        write_note_key(key, path)
    path.chmod(0o640)
    with pytest.raises(HoldfastError, match="open to others"):
        load_note_key(path, "log")
    text = encode_note_key(key)
    for wrong in (b"", b"{}", text.replace(b'"log"', b'"witness"'), text.replace(b"x.test", b"y.test"), b"[" * 5000):
        with pytest.raises(CredentialError):
            decode_note_key(wrong, "x")
    assert repr(key) == "<NoteKey>"
    with pytest.raises(RefusedError):
        __import__("pickle").dumps(key)


def test_proofs_go_there_and_back_and_prove_one_entry() -> None:
    log = new_trial_log(MemoryStore())
    log.append(5)
    signed = log.reader().get_newest()
    entry, hashes = log.reader().proven_entry(3, signed.checkpoint)
    proof = TlogProof(3, hashes, signed.note, entry)
    assert decode_proof(encode_proof(proof), "x") == proof
    bare = proof._replace(extra=b"")
    assert decode_proof(encode_proof(bare), "x") == bare
    verify_proof(bare, entry, log.key.name, log.key.keys)
    with pytest.raises(DamageError):
        verify_proof(bare, b"another", log.key.name, log.key.keys)
    with pytest.raises(DamageError):
        verify_proof(bare._replace(place=2), entry, log.key.name, log.key.keys)
    with pytest.raises(UntrustedError, match="0 of the 1"):
        verify_proof(bare, entry, log.key.name, log.key.keys, quorum=1)
    with pytest.raises(UntrustedError):
        verify_proof(bare, entry, "another/log", log.key.keys)


@pytest.mark.parametrize(
    "change",
    [
        ("@v1", "@v2"),
        ("index 0", "index 00"),
        ("index 0", "extra\nindex 0"),
        ("index 0", "extra AAA\nindex 0"),
        ("index 0", "place 0"),
        ("index 0\n\n", "index 0\nAAAA\n\n"),
        ("index 0\n\n", "index 0\n" + "A" * 43 + "=\n" * 1 + ("A" * 43 + "=\n") * 64 + "\n"),
    ],
)
def test_what_is_no_proof(change: tuple[str, str]) -> None:
    log = new_trial_log(MemoryStore())
    log.append(1)
    text = encode_proof(TlogProof(0, [], log.reader().get_newest().note)).decode()
    assert decode_proof(text.encode(), "x").place == 0
    with pytest.raises(DamageError):
        decode_proof(text.replace(*change).encode(), "x")


def test_an_entry_is_written_one_way_only() -> None:
    entry = an_entry(Actor(fingerprint="", label="Größe", role="log"))
    data = encode(entry)
    assert decode_leaf(data, "x").entry == entry
    assert data.startswith(b'{"action":"snapshot.save","actor":{"fingerprint":""')
    for wrong in (
        data + b" ",
        data.replace(b'","', b'", "', 1),
        data.replace(b"{", b'{"x":1,', 1),
        b"",
        b"null",
        b"[]",
    ):
        with pytest.raises(DamageError):
            decode_leaf(wrong, "x")


@pytest.mark.parametrize(
    "change",
    [
        {"action": "Save"},
        {"action": ""},
        {"decision": "a b"},
        {"id": "x"},
        {"at_ns": -1},
        {"outcome": "x" * 600},
        {"outcome": "two\nlines"},
        {"outcome": "\ud800"},
        {"objects": {"Asset": "x"}},
        {"objects": {f"k{number}": "x" for number in range(65)}},
        {"objects": {f"k{number}": "x" * 500 for number in range(64)}},
        {"policies": ["x"] * 65},
        {"v": 2},
    ],
)
def test_what_is_no_entry(change: dict[str, object]) -> None:
    entry = an_entry(Actor(fingerprint="", label="", role="log"))
    wrong = __import__("msgspec").structs.replace(entry, **change)
    with pytest.raises(UsageError):
        check_entry(wrong)
    assert ENTRY_MAX == 16 << 10


def test_cosignatures_verify_in_another_implementation() -> None:
    """The bytes that are signed are put together here by hand, as the specification has them."""
    key, root = NoteKey.generate("witness", "w.test"), bytes(range(32))
    checkpoint = Checkpoint("x.test/log", 300, root)
    _, quantum = key.sign(checkpoint, 1_700_000_000)
    stamp = (1_700_000_000).to_bytes(8, "big")
    assert quantum.signature[:8] == stamp
    message = b"subtree/v1\n\0\x06w.test" + stamp + b"\x0ax.test/log" + bytes(8) + (300).to_bytes(8, "big") + root
    assert ML_DSA_44.verify(key.keys[1].public, message, quantum.signature[8:])
    assert not ML_DSA_44.verify(key.keys[1].public, message[:-1] + b"\0", quantum.signature[8:])
