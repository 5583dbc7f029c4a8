"""Notices of what became of a site (`sites/<id>`): it failed, it is given up, it comes back. docs/format/vault-1.md.

Signed by a keeper, created once, never changed: `over` names the notices about the same site that its author knew.
Every member reads them, also one that may only add: it has to know where to save.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from holdfast.errors import DamageError, UntrustedError
from holdfast.ids import is_snapshot_id
from holdfast.vault.format.documents import read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import SITES

__all__ = ["NOTICE_BYTES_MAX", "SiteNotice", "decode_notice", "notice_id", "notice_key", "open_notice", "seal_notice"]

NOTICE_BYTES_MAX: Final = 64 << 10  # twice what the longest texts and a signature of any suite come to
_OVER_MAX: Final = 256
_TEXT_MAX: Final = 1000


class SiteNotice(msgspec.Struct, frozen=True):
    """`condition`: what counts for the site from `at` (ns since the epoch) on; `declared`: it is as declared again.

    `id`: 26 characters, as those of snapshots. `by`: the label of who signed it.
    """

    id: str
    site: str
    condition: Literal["failed", "draining", "rebuilding", "declared"]
    at: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
    reason: str
    by: str
    over: tuple[str, ...] = ()


_DECODER: Final = msgspec.msgpack.Decoder(SiteNotice)


def notice_key(notice: str) -> str:
    return f"{SITES}{notice}"


def notice_id(key: str) -> str | None:
    """The id in the key of an object, None where it is no notice's."""
    name = key.removeprefix(SITES)
    return name if key.startswith(SITES) and is_snapshot_id(name) else None


def seal_notice(keys: VaultKeys, notice: SiteNotice) -> bytes:
    """Its stored bytes in that vault. Raises CredentialError, UntrustedError without a keeper's key that counts."""
    keys.require_keeper("telling other machines what became of a site")
    return write_document(keys, Kind.LEASE, notice_key(notice.id), msgspec.msgpack.encode(notice))


def open_notice(keys: VaultKeys, key: str, data: bytes, written_ns: int | None = None) -> SiteNotice:
    """What the object under `key` says. `written_ns`: when it was written, as its store says: a keeper that was revoked
    can still date what it signs as it likes.

    Raises DamageError, UntrustedError (no keeper signed it, or one that had been revoked before), CredentialError.
    """
    opened = read_document(keys, Kind.LEASE, key, data)
    notice = decode_notice(key, opened.body)
    signer = keys.trusted_signer(Kind.CONFIG, opened.signer, key)  # as for a configuration: keepers only
    if signer.revoked is not None and max(notice.at, written_ns or 0) >= signer.revoked:
        raise UntrustedError(f"{key} was signed by {signer.label!r} after that keeper was revoked", object_name=key)
    return msgspec.structs.replace(notice, by=signer.label)


def decode_notice(key: str, body: bytes) -> SiteNotice:
    """The record of the object under `key`. Raises DamageError."""
    try:
        notice = _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DamageError(f"{key} does not hold a valid notice about a site ({error})", object_name=key) from error
    texts = (notice.site, notice.reason, notice.by)
    sound = all(len(text) <= _TEXT_MAX and text.isprintable() for text in texts) and notice.site
    if not sound or len(notice.over) > _OVER_MAX or not all(map(is_snapshot_id, notice.over)):
        raise DamageError(f"{key} does not hold a valid notice about a site", object_name=key)
    if notice_id(key) != notice.id or notice.id in notice.over:
        raise DamageError(f"{key} holds the notice of another name", object_name=key)
    return notice
