"""Proofs that fit into one file (C2SP tlog-proof, `.tlog-proof`): checkpoint, place, hashes, and as `extra` the entry.

Whoever has the log's public key verifies one offline; `docs/verify-tlog-proof.py` does so without any of this package.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import NamedTuple

from holdfast.audit.checkpoint_text import Checkpoint, parse_decimal, parse_hash
from holdfast.audit.merkle import PROOF_HASHES_MAX, hash_leaf, verify_inclusion
from holdfast.audit.notes import NOTE_BYTES_MAX, Note, open_note, parse_note
from holdfast.audit.reading import open_checkpoint
from holdfast.audit.verifier_keys import VerifierKey
from holdfast.errors import DamageError, UntrustedError

__all__ = ["TlogProof", "encode_proof", "decode_proof", "verify_proof", "witness_names", "PROOF_BYTES_MAX"]

_FIRST = "c2sp.org/tlog-proof@v1"
PROOF_BYTES_MAX = NOTE_BYTES_MAX + (128 << 10)


class TlogProof(NamedTuple):
    """`place`: number of the entry in the log. `extra` is nobody's word; here it is the entry itself, or empty."""

    place: int
    hashes: list[bytes]
    note: Note
    extra: bytes = b""


def encode_proof(proof: TlogProof) -> bytes:
    lines = [_FIRST]
    if proof.extra:
        lines.append(f"extra {base64.b64encode(proof.extra).decode()}")
    lines.append(f"index {proof.place}")
    lines += [base64.b64encode(one).decode() for one in proof.hashes]
    return "".join(f"{line}\n" for line in (*lines, "")).encode() + proof.note.encode()


def decode_proof(data: bytes, name: str) -> TlogProof:
    """Raises DamageError. What it says is not verified."""
    head, gap, rest = data.partition(b"\n\n")
    try:
        lines = head.decode().split("\n")
    except UnicodeDecodeError:
        lines = []
    if len(data) > PROOF_BYTES_MAX or not gap or len(lines) < 2 or lines.pop(0) != _FIRST:
        raise _malformed(name)
    extra = _extra(lines.pop(0)[6:], name) if lines[0].startswith("extra ") else b""
    place = parse_decimal(lines[0][6:]) if lines and lines[0].startswith("index ") else None
    hashes = [found for one in lines[1:] if (found := parse_hash(one)) is not None]
    if place is None or len(hashes) != len(lines) - 1 or len(hashes) > PROOF_HASHES_MAX:
        raise _malformed(name)
    return TlogProof(place, hashes, parse_note(rest, name), extra)


def verify_proof(
    proof: TlogProof,
    entry: bytes,
    origin: str,
    keys: Sequence[VerifierKey],
    *,
    witnesses: Sequence[VerifierKey] = (),
    quorum: int = 0,
    name: str = "the proof",
) -> Checkpoint:
    """That `entry` is in the log at its place, that the log signed so, and `quorum` witnesses saw it.

    Raises DamageError, UntrustedError.
    """
    note, checkpoint = open_checkpoint(proof.note.encode(), origin, keys, name)
    verify_inclusion(hash_leaf(entry), proof.place, checkpoint.size, proof.hashes, checkpoint.root)
    seen = witness_names(note, witnesses, name)
    if len(seen) < quorum:
        raise UntrustedError(
            f"{len(seen)} of the {quorum} witnesses asked for have signed the checkpoint of {name}", object_name=name
        )
    return checkpoint


def witness_names(note: Note, witnesses: Sequence[VerifierKey], name: str) -> set[str]:
    """The witnesses that have cosigned, by name: those of which each key that is known here has signed. The log itself
    is none, whose key is of the same kind.

    Raises UntrustedError when a cosignature of one of them is wrong.
    """
    known = {(key.name, key.key_id) for key in witnesses}
    if not any((one.name, one.key_id) in known for one in note.signatures):
        return set()
    signed = open_note(note, witnesses, name).signed
    origin = note.text.partition("\n")[0]
    return {key.name for key in signed} - {key.name for key in witnesses if key not in signed} - {origin}


def _extra(text: str, name: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed(name) from None
    if not data or base64.b64encode(data).decode() != text:
        raise _malformed(name)
    return data


def _malformed(name: str) -> DamageError:
    return DamageError(f"{name} is not a proof of a transparency log (tlog-proof)", object_name=name)
