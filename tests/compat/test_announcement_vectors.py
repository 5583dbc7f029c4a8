"""The vectors of announcements in docs/format/vault-1.md, worked out by hand from what the page says, and by the
package.
"""

from __future__ import annotations

import re
from pathlib import Path

from blake3 import blake3

from holdfast.ids import snapshot_id_of, snapshot_time_ms
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import new_trial_vault
from holdfast.trust.signing import SigningKey
from holdfast.vault.format.documents import read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import Names, announcement_key
from holdfast.vault.saving.announcing import shared_secret

PAGE = (Path(__file__).parents[2] / "docs" / "format" / "vault-1.md").read_text(encoding="utf-8")
VALUES = dict(re.findall(r"^\| (.+?) \| `([^`]+)` \|$", PAGE, re.MULTILINE))
SAVE, PRIVATE = "00112233aabbccdd", bytes(range(64))


def value(beginning: str) -> bytes:
    [found] = [value for name, value in VALUES.items() if name.startswith(beginning)]
    return bytes.fromhex(found)


def by_hand(purpose: str) -> bytes:
    return blake3(b"holdfast 1 " + purpose.encode(), key=bytes(range(32))).digest()


def test_the_secret_of_a_save() -> None:
    derived = blake3(PRIVATE, derive_key_context="holdfast 1 secret of a save").digest()
    assert blake3(SAVE.encode(), key=derived).digest() == value("secret of the save")
    assert shared_secret(SigningKey.from_bytes(PRIVATE), SAVE) == value("secret of the save")


def test_the_key_of_an_announcement() -> None:
    """Worked out from the salt in an object that the package wrote, it opens that object."""
    vault = new_trial_vault(MemoryStore()).open()
    keys, name, secret = vault.handle.keys, announcement_key(SAVE, 3), value("secret of the save")
    salt = bytes(range(32))
    key = blake3(b"holdfast 1 announcement" + salt, key=secret).digest()
    assert key == value("key of an announcement")
    data = write_document(keys, Kind.ANNOUNCEMENT, name, b"record", shared=secret)
    assert data[8:9] == b"A"
    for shared in (secret, b""):  # by the secret, and by the epoch's key
        assert read_document(keys, Kind.ANNOUNCEMENT, name, data, shared=shared).body == b"record"
    field = 32 + 1168  # salt, and the sealed key of suite 1
    length = int.from_bytes(data[32 + field : 36 + field], "little")
    own = blake3(b"holdfast 1 announcement" + data[32:64], key=secret).digest()
    sealed = data[36 + field : 36 + field + length]
    assert keys.cipher(own).open(0, sealed, data[:32] + name.encode())


def test_the_id_of_the_snapshot() -> None:
    records = blake3(b"a").digest() + blake3(b"b").digest()
    told = value("hash of the announcements")
    assert blake3(b"save\0llama\0" + records, key=by_hand("name")).digest() == told
    assert Names(bytes(range(32))).announced_hash("llama", [b"a", b"b"]) == told
    assert snapshot_time_ms(snapshot_id_of(1_700_000_000_123_000_000, told)) == 1_700_000_000_123
