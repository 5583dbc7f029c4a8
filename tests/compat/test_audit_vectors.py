"""The vectors on the page of the audit log's format are what the package makes, and what it reads."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import pytest

from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.entries import decode_leaf, encode
from holdfast.audit.journal import NameHasher
from holdfast.audit.merkle import hash_leaf
from holdfast.audit.notes import open_note, parse_note
from holdfast.audit.signing_keys import NoteKey
from holdfast.audit.verifier_keys import parse_vkey

_PAGE = (Path(__file__).parents[2] / "docs/format/audit-1.md").read_text()
_VECTORS = dict(re.findall(r"^\| ([^|]+) \| `([^`]+)` \|$", _PAGE[_PAGE.index("## Test vectors") :], re.MULTILINE))


@pytest.fixture
def key() -> NoteKey:
    return NoteKey("log", "example.com/log", bytes(range(32)), bytes(range(32, 64)))


def test_the_page_has_them_all() -> None:
    assert len(_VECTORS) == 7


def test_keys(key: NoteKey) -> None:
    assert parse_vkey(_VECTORS["the log's Ed25519 key"]) == key.keys[0]
    assert key.keys[1].key_id.hex() == _VECTORS["the key id of that"]
    assert sha256(key.keys[1].public).hexdigest() == _VECTORS["its ML-DSA-44 public key, 1,312 bytes, SHA-256"]


def test_names() -> None:
    assert NameHasher(bytes(range(32))).hash("asset", "llama") == _VECTORS["hash of the asset name `llama`"]


def test_an_entry_its_leaf_and_a_checkpoint(key: NoteKey) -> None:
    data = _VECTORS["an entry"].encode()
    assert encode(decode_leaf(data, "x").entry) == data
    leaf = hash_leaf(data)
    assert leaf.hex() == _VECTORS["its leaf hash, the root of the log that has only this entry"]
    checkpoint, line = Checkpoint(key.name, 1, leaf), _VECTORS["the Ed25519 signature line of its checkpoint"]
    assert key.sign(checkpoint, 1_700_000_000)[0].line == f"{line}\n"
    note = parse_note(f"{checkpoint.text}\n{line}\n".encode(), "x")
    assert list(open_note(note, key.keys, "x").signed) == [key.keys[0]]
