"""Keys in shares: any k of n open, and fewer tell nothing. For recipients that no single person or place holds.

What is split is 50 bytes: a seed of 32, which the sealing key follows from (`SealingKey.from_seed`), the fingerprint of
the keeper whose signature is to be trusted, 16, and the key's suite, u16le. Splitting and words are SLIP-39
(SatoshiLabs, "Shamir's Secret-Sharing for Mnemonic Codes"), one group, no passphrase: each share is 47 words with a
checksum of 30 bits, which other tools can read. The library works in time that depends on the secret: split and combine
on a machine of your own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import combinations, islice
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import CredentialError, UsageError, WrongKeyError
from holdfast.trust.credentials import Credential, is_label
from holdfast.trust.keyfile import read_private_file
from holdfast.trust.private import Private
from holdfast.trust.sealing import SealingKey
from holdfast.trust.suites import Suite, suite_of

__all__ = [
    "SHARES_MAX",
    "Share",
    "Split",
    "split_key",
    "combine_shares",
    "encode_share",
    "decode_share",
    "read_share",
]

SHARES_MAX = 16  # of SLIP-39: its numbers have four bits
_SEED, _FINGERPRINT = 32, 16
_TRIES_MAX = 13_000  # all choices of 8 shares of 16, of which there are most: 12,870
_WORDS_A_LINE = 8
_FIELDS = ("vault", "label", "share", "threshold")
_TITLE = "holdfast key share 1"
_NUMBER = re.compile(r"[1-9][0-9]?")
_WORD = re.compile(r"[a-z]{4,8}")
_WORDS_MAX = 64
_VAULT_ID = re.compile(r"[0-9a-f]{32}")


class Share(Private):
    """One share: which vault and recipient it is of, its number from 1, how many open, and (secret) its words."""

    __slots__ = ("label", "number", "threshold", "vault_id", "words")

    def __init__(self, vault_id: str, label: str, number: int, threshold: int, words: str) -> None:
        self.vault_id, self.label = vault_id, label
        self.number, self.threshold, self.words = number, threshold, words

    def __repr__(self) -> str:
        return f"<Share {self.number} of {self.label!r}, {self.threshold} open vault {self.vault_id}>"


class Split(NamedTuple):
    """The public half of a key that exists in shares only, and these."""

    public: bytes
    shares: list[Share]


def split_key(vault_id: str, label: str, keeper: str, *, shares: int, threshold: int, suite: Suite) -> Split:
    """A fresh recipient's key in `shares` shares, of which any `threshold` open. The whole key is forgotten here.

    `keeper`: the fingerprint (32 hex digits) whose signature counts for whoever combines them. Raises UsageError.
    """
    from shamir_mnemonic import generate_mnemonics

    if not 2 <= threshold <= shares <= SHARES_MAX:
        raise UsageError(
            f"a key is split into at most {SHARES_MAX} shares, of which at least 2 and at most all open it",
            hint="for example --shares 5 --threshold 3",
        )
    if not label or not is_label(label):
        raise UsageError("a label has up to 64 letters, digits, '.', '_' and '-', and begins with a letter or digit")
    seed = os.urandom(_SEED)
    # No passphrase is used, so stretching one would only cost time: iteration exponent 0.
    secret = seed + bytes.fromhex(keeper) + int(suite).to_bytes(2, "little")
    [mnemonics] = generate_mnemonics(1, [(threshold, shares)], secret, extendable=True, iteration_exponent=0)
    made = [Share(vault_id, label, i + 1, threshold, words) for i, words in enumerate(mnemonics)]
    return Split(SealingKey.from_seed(seed, suite).public, made)


def combine_shares(shares: Sequence[Share]) -> Credential:
    """The reader's credential that the shares open. More than needed may be given, also some that do not belong to the
    others; equal ones count once.

    Raises WrongKeyError (too few, or of different vaults, keys or splits), UnsupportedFormatError (a newer suite).
    """
    if not shares:
        raise WrongKeyError("no share was given", hint="set HOLDFAST_KEY_SHARES to the share files, joined by ':'")
    _require_one_key(shares)
    first = shares[0]
    different = list({share.words: share for share in shares}.values())
    if len(different) < first.threshold:
        held = ", ".join(str(share.number) for share in different)
        raise WrongKeyError(
            f"{first.threshold} shares open {first.label!r}, and only {len(different)} different one(s) were given "
            f"(number {held})",
            hint=f"{first.threshold - len(different)} more are needed",
        )
    tried = islice(combinations(different, first.threshold), _TRIES_MAX)
    secret = next((found for found in map(_secret_of, tried) if found), b"")
    if not secret:
        raise WrongKeyError(
            f"these shares of {first.label!r} do not belong together",
            hint="they are of different splits, or one says what it is not: try others",
        )
    return Credential(
        role="reader",
        vault_id=first.vault_id,
        label=first.label,
        opener=SealingKey.from_seed(secret[:_SEED], suite_of(int.from_bytes(secret[-2:], "little"))),
        keepers=(secret[_SEED:-2].hex(),),
    )


def _secret_of(shares: Sequence[Share]) -> bytes:
    """What they were split from, by their checksum; nothing when they do not belong together."""
    from shamir_mnemonic import MnemonicError, combine_mnemonics

    try:
        secret = combine_mnemonics([share.words for share in shares])
    except (MnemonicError, ValueError):  # not chained: its message holds words of the shares
        return b""
    return secret if len(secret) == _SEED + _FINGERPRINT + 2 else b""


def _require_one_key(shares: Sequence[Share]) -> None:
    first = shares[0]
    for share in shares:
        if share.vault_id != first.vault_id:
            raise WrongKeyError(
                f"share {share.number} is of vault {share.vault_id}, share {first.number} of vault {first.vault_id}",
                hint="use shares of one vault",
            )
        if (share.label, share.threshold) != (first.label, first.threshold):
            raise WrongKeyError(
                f"share {share.number} is of the key {share.label!r}, share {first.number} of {first.label!r}",
                hint="use shares of one key; each file says which it is of",
            )


def encode_share(share: Share) -> bytes:
    """The text of a share's file, ASCII. It is secret."""
    words = share.words.split(" ")
    lines = [" ".join(words[at : at + _WORDS_A_LINE]) for at in range(0, len(words), _WORDS_A_LINE)]
    fields = (share.vault_id, share.label, str(share.number), str(share.threshold))
    head = [_TITLE, *(f"{name}: {value}" for name, value in zip(_FIELDS, fields, strict=True))]
    return ("\n".join([*head, "", *lines]) + "\n").encode("ascii")


def decode_share(text: bytes, name: str) -> Share:
    """The share in a file's text; `name` is for messages, which show nothing else of it.

    Line ends, blanks and capitals may differ: people type these. Raises CredentialError.
    """
    share = _parsed(text)
    if share is None:
        raise CredentialError(
            f"{name} is not a holdfast key share, or it is damaged",
            hint="compare it with the original, word by word; or use another share",
            object_name=name,
        )
    if not _is_sound(share):
        raise CredentialError(
            f"the words of share {share.number} in {name} are not those that were written: their checksum is wrong",
            hint="compare them with the original, word by word; or use another share",
            object_name=name,
        )
    return share


def read_share(path: Path) -> Share:
    """Read a share's file. Raises what `read_private_file` and `decode_share` raise."""
    return decode_share(read_private_file(path), str(path))


def _parsed(text: bytes) -> Share | None:
    try:
        lines = [line.strip() for line in text.decode("ascii").splitlines() if line.strip()]
    except UnicodeDecodeError:
        return None
    if len(lines) < len(_FIELDS) + 2 or lines[0].lower() != _TITLE:
        return None
    values = []
    for line, field in zip(lines[1:], _FIELDS, strict=False):
        name, _, value = line.partition(":")
        if name.strip().lower() != field:
            return None
        values.append(value.strip())
    vault, label, number, threshold = values
    words = " ".join(lines[1 + len(_FIELDS) :]).lower().split()
    if not _VAULT_ID.fullmatch(vault) or not label or not is_label(label):
        return None
    if not _NUMBER.fullmatch(number) or not _NUMBER.fullmatch(threshold):
        return None
    if len(words) > _WORDS_MAX or not all(_WORD.fullmatch(word) for word in words):
        return None
    return Share(vault, label, int(number), int(threshold), " ".join(words))


def _is_sound(share: Share) -> bool:
    """Whether the words are a share, and the numbers beside them are its own."""
    from shamir_mnemonic import MnemonicError
    from shamir_mnemonic.share import Share as Words

    try:
        words = Words.from_mnemonic(share.words)
    except (MnemonicError, ValueError, IndexError):
        return False
    return bool((words.index + 1, words.member_threshold) == (share.number, share.threshold))
