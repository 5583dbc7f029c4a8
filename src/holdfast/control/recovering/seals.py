"""Entries of a run's journal as documents of the vault: signed by keepers, read by every member that may read leases.

Whoever may add to a store can put documents of members there that are no entries: a trainer's key signs, too. What no
keeper signed is nothing, for all readers alike: a key keeps its role for ever, and of a signer that a reader does not
know the configuration at the journal's stores tells, as no keeper signs an entry before most of them know that keeper
(`signers.py`). The same holds for what a revoked keeper signed after that.

What an entry says of a person is bound to the key that signed it: nobody approves in another's name. An entry by
`<label>/<person>` is signed by that label, which vouches for the person; whether it may, is judged by who reads it
(`recovery.reviewing.persons`). A body is
compressed before it is sealed, so that plans of many assets fit into a document of the kind `L`.
"""

from __future__ import annotations

from typing import Final

import msgspec
import zstandard

from holdfast.control.recovering.signers import Signers
from holdfast.errors import DamageError, RefusedError, UntrustedError
from holdfast.recovery.journal.entries import Deed, Entry, VoidError, decode_entry
from holdfast.recovery.journal.leaving import LeavingOut, decode_leaving_out
from holdfast.recovery.reviewing.persons import PLANE, signing_label
from holdfast.trust.signing import fingerprint
from holdfast.vault.format.documents import Opened, body_max, claimed_signer, read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.records import Signer

__all__ = ["VaultSeal", "unpacked"]

_PLAIN_MAX: Final = 8 << 20
_BY_PERSONS: Final = (Deed.ASKED, Deed.APPROVED, Deed.WITHOUT)  # any keeper could sign as some control plane
_WITHOUT: Final = "/without/"


class VaultSeal:
    """`holdfast.recovery.journal.entries.Seal` with a keeper's key of a vault.

    `signers`: who is trusted by what the journal's stores say now; without it, what somebody unknown signed raises
    UntrustedError.
    """

    def __init__(self, keys: VaultKeys, signers: Signers | None = None) -> None:
        self._keys, self._signers = keys, signers

    def seal(self, name: str, body: bytes) -> bytes:
        """Raises CredentialError, UntrustedError without a keeper's key that counts; RefusedError (too large)."""
        self._keys.require_keeper("writing the journal of a recovery")
        if self._signers is not None:
            self._signers.make_known(self._keys)
        packed = zstandard.ZstdCompressor(level=9, write_content_size=True).compress(body)
        if len(packed) > body_max(Kind.LEASE) or len(body) > _PLAIN_MAX:
            raise RefusedError(
                "this plan is too large for a journal", hint="recover fewer assets at a time", object_name=name
            )
        return write_document(self._keys, Kind.LEASE, name, packed)

    def open(self, name: str, data: bytes) -> bytes:
        """Raises VoidError (no document, or no keeper's, or one's that was revoked before), DamageError; UntrustedError
        where a keeper spoke in another's name; StoreUnreachableError where nobody can tell whether a keeper signed it.
        """
        opened, signer = self.opened(name, data)
        body = unpacked(name, opened.body)
        entry: Entry | LeavingOut = decode_leaving_out(name, body) if _WITHOUT in name else decode_entry(name, body)
        if signer.revoked is not None and entry.at >= signer.revoked:
            raise VoidError(f"{name} was signed by {signer.label!r} after that keeper was revoked", object_name=name)
        is_plane = isinstance(entry, Entry) and entry.by.startswith(PLANE) and entry.deed not in _BY_PERSONS
        if not is_plane and signing_label(entry.by) != signer.label:
            raise UntrustedError(
                f"{name} speaks for {entry.by!r}, and was signed by {signer.label!r}",
                hint="somebody with a keeper's key spoke in another's name: look at the audit log",
                object_name=name,
            )
        return body

    def opened(self, name: str, data: bytes) -> tuple[Opened, Signer]:
        """A document, whatever it says, and the keeper who signed it, who may have been revoked since.

        Raises VoidError (no document, or no keeper's), StoreUnreachableError where nobody can tell whether one signed.
        """
        try:
            return self._opened(name, data)
        except DamageError as error:
            # Its frame is broken, or it is of another vault, or sealed by no key of this one: so it is for everybody.
            raise VoidError(error.message, hint=error.hint, object_name=name) from error

    def _opened(self, name: str, data: bytes) -> tuple[Opened, Signer]:
        """Raises as `opened`; DamageError too."""
        try:
            return _by_keeper(self._keys, name, data)
        except UntrustedError as error:
            if self._signers is None:
                raise
            mark = claimed_signer(Kind.LEASE, name, data)
            if not self._is_known(mark):
                self._keys = self._signers.newest(self._keys, mark)
            try:
                return _by_keeper(self._keys, name, data)
            except UntrustedError:
                raise VoidError(error.message, hint=error.hint, object_name=name) from error

    def _is_known(self, mark: str) -> bool:
        return any(fingerprint(one.public) == mark for one in self._keys.config.signers)


def _by_keeper(keys: VaultKeys, name: str, data: bytes) -> tuple[Opened, Signer]:
    opened = read_document(keys, Kind.LEASE, name, data)
    return opened, keys.trusted_signer(Kind.CONFIG, opened.signer, name)  # as for a configuration: keepers only


def unpacked(name: str, packed: bytes) -> bytes:
    """The body in a sealed entry. Raises DamageError."""
    try:
        size = zstandard.get_frame_parameters(packed).content_size
        if size > _PLAIN_MAX:
            raise DamageError(f"{name} holds an entry of an impossible size", object_name=name)
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size, allow_extra_data=False)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise DamageError(f"{name} does not hold an entry of a run's journal", object_name=name) from error
