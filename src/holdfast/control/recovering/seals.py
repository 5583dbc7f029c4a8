"""Entries of a run's journal as documents of the vault: signed by keepers, read by every member that may read leases.

What an entry says of a person is bound to the key that signed it: nobody approves in another's name. An entry by
`<label>/<person>` is signed by that label, which vouches for the person; whether it may, is judged by who reads it
(`recovery.reviewing.persons`). A body is
compressed before it is sealed, so that plans of many assets fit into a document of the kind `L`.
"""

from __future__ import annotations

from typing import Final

import msgspec
import zstandard

from holdfast.errors import DamageError, RefusedError, UntrustedError
from holdfast.recovery.journal.entries import Deed, Entry, VoidError, decode_entry
from holdfast.recovery.journal.leaving import LeavingOut, decode_leaving_out
from holdfast.recovery.reviewing.persons import PLANE, signing_label
from holdfast.vault.format.documents import body_max, read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys

__all__ = ["VaultSeal", "unpacked"]

_PLAIN_MAX: Final = 8 << 20
_BY_PERSONS: Final = (Deed.ASKED, Deed.APPROVED, Deed.WITHOUT)  # any keeper could sign as some control plane
_WITHOUT: Final = "/without/"


class VaultSeal:
    """`holdfast.recovery.journal.entries.Seal` with a keeper's key of a vault."""

    def __init__(self, keys: VaultKeys) -> None:
        self._keys = keys

    def seal(self, name: str, body: bytes) -> bytes:
        """Raises CredentialError, UntrustedError without a keeper's key that counts; RefusedError (too large)."""
        self._keys.require_keeper("writing the journal of a recovery")
        packed = zstandard.ZstdCompressor(level=9, write_content_size=True).compress(body)
        if len(packed) > body_max(Kind.LEASE) or len(body) > _PLAIN_MAX:
            raise RefusedError(
                "this plan is too large for a journal", hint="recover fewer assets at a time", object_name=name
            )
        return write_document(self._keys, Kind.LEASE, name, packed)

    def open(self, name: str, data: bytes) -> bytes:
        """Raises DamageError, UntrustedError: no keeper signed it, or one that was revoked before, or in whose name
        nobody else may speak.
        """
        try:
            opened = read_document(self._keys, Kind.LEASE, name, data)
        except DamageError as error:
            # Its frame is broken, or it is of another vault, or sealed by no key of this one: so it is for everybody.
            raise VoidError(error.message, hint=error.hint, object_name=name) from error
        body = unpacked(name, opened.body)
        entry: Entry | LeavingOut = decode_leaving_out(name, body) if _WITHOUT in name else decode_entry(name, body)
        signer = self._keys.trusted_signer(Kind.CONFIG, opened.signer, name)  # as for a configuration: keepers only
        if signer.revoked is not None and entry.at >= signer.revoked:
            raise UntrustedError(
                f"{name} was signed by {signer.label!r} after that keeper was revoked", object_name=name
            )
        is_plane = isinstance(entry, Entry) and entry.by.startswith(PLANE) and entry.deed not in _BY_PERSONS
        if not is_plane and signing_label(entry.by) != signer.label:
            raise UntrustedError(
                f"{name} speaks for {entry.by!r}, and was signed by {signer.label!r}",
                hint="somebody with a keeper's key spoke in another's name: look at the audit log",
                object_name=name,
            )
        return body


def unpacked(name: str, packed: bytes) -> bytes:
    """The body in a sealed entry. Raises DamageError."""
    try:
        size = zstandard.get_frame_parameters(packed).content_size
        if size > _PLAIN_MAX:
            raise DamageError(f"{name} holds an entry of an impossible size", object_name=name)
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size, allow_extra_data=False)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise DamageError(f"{name} does not hold an entry of a run's journal", object_name=name) from error
