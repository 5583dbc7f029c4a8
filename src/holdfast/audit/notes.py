"""Signed notes (C2SP signed-note): a text, and below it lines of signatures, each with the name and id of its key.

A note is believed as far as keys that one already trusts have signed it; lines of other keys are skipped.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from holdfast.audit.verifier_keys import VerifierKey, is_key_name
from holdfast.errors import DamageError, UntrustedError

__all__ = [
    "NOTE_BYTES_MAX",
    "SIGNATURES_MAX",
    "NoteSignature",
    "Note",
    "Opened",
    "parse_note",
    "parse_lines",
    "open_note",
]

NOTE_BYTES_MAX = 256 << 10
SIGNATURES_MAX = 64  # a verifier accepts 16 at least; one of ML-DSA-44 has 3.3 kB in base 64
_DASH = "— "


class NoteSignature(NamedTuple):
    """One line. `signature` is what follows the four bytes of the key id."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """With the newline at its end."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True)
class Note:
    """A note as it was read: nobody's word yet. `text` ends with a newline."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def encode(self) -> bytes:
        return f"{self.text}\n{''.join(one.line for one in self.signatures)}".encode()

    def with_signatures(self, more: Iterable[NoteSignature]) -> Note:
        """The same, with these lines below the others. Lines that are there already are left out."""
        return Note(self.text, tuple(dict.fromkeys((*self.signatures, *more))))


class Opened(NamedTuple):
    """A note that at least one trusted key has signed. `signed`: key → when (s since the epoch), if that was said."""

    note: Note
    signed: dict[VerifierKey, int | None]


def parse_note(data: bytes, name: str) -> Note:
    """Raises DamageError for what is no note; `name` is for messages."""
    if len(data) > NOTE_BYTES_MAX:
        raise _malformed(name, "it is too large")
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise _malformed(name, "it is not UTF-8") from None
    if any(character < " " and character != "\n" for character in whole):
        raise _malformed(name, "it holds control characters")
    text, gap, below = whole.rpartition("\n\n")
    if not gap:
        raise _malformed(name, "it has no signatures")
    return Note(text + "\n", tuple(parse_lines(below, name)))


def parse_lines(lines: str, name: str) -> list[NoteSignature]:
    """Signature lines, each with a newline at its end; at least one. Raises DamageError."""
    if not lines.endswith("\n"):
        raise _malformed(name, "its last line has no end")
    found = [_signature(line, name) for line in lines[:-1].split("\n")]
    if len(found) > SIGNATURES_MAX:
        raise _malformed(name, f"it has more than {SIGNATURES_MAX} signatures")
    return found


def open_note(note: Note, keys: Sequence[VerifierKey], name: str) -> Opened:
    """Which of `keys` signed it. Raises UntrustedError when none did, or a line of one of them does not verify."""
    signed: dict[VerifierKey, int | None] = {}
    for key in keys:
        for one in note.signatures:
            if (one.name, one.key_id) == (key.name, key.key_id) and key not in signed:
                signed[key] = key.verify(note.text, one.signature, name)
    if not signed:
        raise UntrustedError(
            f"{name} is signed by nobody whose key is known here",
            hint="if the log's key is new, say so: `--log-key`",
            object_name=name,
        )
    return Opened(note, signed)


def _signature(line: str, name: str) -> NoteSignature:
    key, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not is_key_name(key):
        raise _malformed(name, "a line of it is no signature")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed(name, "a signature is not base 64") from None
    if len(data) < 5 or base64.b64encode(data).decode() != encoded:
        raise _malformed(name, "a signature is malformed")
    return NoteSignature(key, data[:4], data[4:])


def _malformed(name: str, why: str) -> DamageError:
    return DamageError(f"{name} is not a signed note: {why}", object_name=name)
