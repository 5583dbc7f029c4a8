"""Recipient files: the public half, which may be read by anybody, and must arrive unchanged."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from holdfast.errors import DamageError, HoldfastError, NotFoundError, RefusedError, UnsupportedFormatError
from holdfast.trust.recipient_file import (
    decode_recipient_file,
    encode_recipient_file,
    read_recipient_file,
    write_recipient_file,
)
from holdfast.trust.recipients import recipient_id
from holdfast.trust.sealing import SealingKey
from holdfast.trust.suites import Suite

VAULT = "00112233445566778899aabbccddeeff"
OWNER = SealingKey(bytes(range(96)))
TEXT = encode_recipient_file(VAULT, "dr-site", OWNER.public)


@pytest.mark.parametrize("suite", [Suite.HYBRID_1, Suite.HYBRID_2])
def test_round_trip(suite: Suite, tmp_path: Path) -> None:
    owner = SealingKey.from_seed(bytes(32), suite)
    text = encode_recipient_file(VAULT, "dr-site", owner.public)
    write_recipient_file(tmp_path / "x.recipient", text)
    found = read_recipient_file(tmp_path / "x.recipient")
    assert (found.vault, found.label, found.public) == (VAULT, "dr-site", owner.public)
    assert found.id == recipient_id(owner.public)
    with pytest.raises(RefusedError):
        write_recipient_file(tmp_path / "x.recipient", text)


def test_no_private_half_is_in_it() -> None:
    for at in (0, 32, 64):
        assert OWNER.to_bytes()[at : at + 16] not in msgspec.json.decode(TEXT, type=dict)["public"].encode()


def test_absent(tmp_path: Path) -> None:
    for path in (tmp_path / "x", tmp_path):
        with pytest.raises(NotFoundError):
            read_recipient_file(path)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("vault", "0" * 31),
        ("label", "a b"),
        ("label", ""),
        ("id", "0" * 32),
        ("public", "AAAA"),
        ("public", "?"),
        ("holdfast_recipient", 0),
        ("holdfast_recipient", "1"),
    ],
)
def test_what_was_changed_is_refused(member: str, value: object) -> None:
    changed = msgspec.json.encode({**msgspec.json.decode(TEXT, type=dict), member: value})
    with pytest.raises(DamageError):
        decode_recipient_file(changed, "x")


def test_another_key_has_another_id() -> None:
    """Whoever swaps the key has to change the id, too: that is what people compare."""
    other = msgspec.json.decode(encode_recipient_file(VAULT, "dr-site", SealingKey.generate().public), type=dict)
    swapped = msgspec.json.encode({**msgspec.json.decode(TEXT, type=dict), "public": other["public"]})
    with pytest.raises(DamageError, match="contradicts itself"):
        decode_recipient_file(swapped, "x")


def test_a_later_version_and_other_things() -> None:
    with pytest.raises(UnsupportedFormatError):
        decode_recipient_file(b'{"holdfast_recipient": 2, "new": 1}', "x")
    for junk in (b"", b"{}", b"[" * 1000, TEXT[:-3], b"\xff"):
        with pytest.raises(HoldfastError, match="not a holdfast recipient file"):
            decode_recipient_file(junk, "x")
