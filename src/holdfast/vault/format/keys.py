"""What an opened vault can do with the credential at hand: which keys it holds, whom it trusts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3

from holdfast.errors import CredentialError, DamageError, UntrustedError
from holdfast.trust.aead import BlobCipher, new_cipher
from holdfast.trust.sealing import SealingKey, sealing_suite
from holdfast.trust.signing import SigningKey, fingerprint
from holdfast.trust.suites import Suite, suite_of
from holdfast.vault.format.header import FORMAT_VERSION, Header, Kind
from holdfast.vault.format.names import Names
from holdfast.vault.format.records import Config, Signer

__all__ = ["VaultKeys", "plain_key", "MAY_SIGN", "FOR_MEMBERS"]

MAY_SIGN: Final = {
    Kind.CONFIG: ("keeper",),
    Kind.ROOT: ("keeper", "writer"),
    Kind.REF: ("keeper", "writer"),
    Kind.INDEX: ("keeper", "writer"),
    Kind.LEASE: ("keeper", "writer"),
    Kind.TRASH: ("keeper", "writer"),
    Kind.THINNED: ("keeper",),
    Kind.ANNOUNCEMENT: ("keeper", "writer"),
    Kind.EVIDENCE: ("keeper",),
}
# Every member reads these: they are sealed with the index key, which writers hold, too.
FOR_MEMBERS: Final = frozenset({Kind.INDEX, Kind.LEASE, Kind.TRASH, Kind.EVIDENCE})


def plain_key(vault: bytes) -> bytes:
    """The public 32-byte key that stands where suite 0 needs one."""
    return blake3(b"holdfast 1 plain key" + vault).digest()


@dataclass(frozen=True)
class VaultKeys:
    """Keys of one opened vault. `private` is empty for a writer: it can add, but not read."""

    vault: bytes  # 16 bytes
    config: Config
    chunk_id_key: bytes = field(repr=False)
    index_key: bytes = field(repr=False)
    private: Mapping[int, SealingKey] = field(repr=False)
    signer: SigningKey | None = field(repr=False)
    label: str
    role: str

    def __post_init__(self) -> None:
        trusted = {fingerprint(signer.public): signer for signer in self.config.signers}
        object.__setattr__(self, "_trusted", trusted)
        object.__setattr__(self, "names", Names(self.chunk_id_key))

    names: Names = field(init=False, repr=False)
    _trusted: dict[str, Signer] = field(init=False, repr=False)

    @property
    def suite(self) -> Suite:
        return suite_of(self.config.suite)

    @property
    def can_read(self) -> bool:
        return self.suite is Suite.PLAIN or bool(self.private)

    @property
    def can_write(self) -> bool:
        """Whether what this credential signs counts, as far as the configuration that was loaded knows."""
        return self.signer is not None and self._counts(self.signer)

    def require_reader(self, what: str) -> None:
        """Raises CredentialError when this credential cannot read."""
        if not self.can_read:
            raise CredentialError(
                f"{what} needs a reader's or keeper's key; {self.label!r} may only add",
                hint="set HOLDFAST_KEY_FILE to a reader's key, or HOLDFAST_PASSPHRASE",
            )

    def require_writer(self, what: str) -> SigningKey:
        """The signing key. Raises CredentialError when there is none, UntrustedError when it does not count."""
        if self.signer is None:
            raise CredentialError(
                f"{what} needs a writer's or keeper's key; {self.label!r} may only read",
                hint="set HOLDFAST_KEY_FILE to a writer's key",
            )
        if not self._counts(self.signer):
            raise UntrustedError(
                f"{what} needs a key that counts; {self.label!r} was revoked, or was never a member of the vault",
                hint="ask the keeper for a new writer's key: `holdfast key export-writer`",
            )
        return self.signer

    def _counts(self, key: SigningKey) -> bool:
        signer = self._trusted.get(fingerprint(key.public))
        return signer is not None and signer.revoked is None

    def require_keeper(self, what: str) -> SigningKey:
        """The keeper's signing key. Raises CredentialError for other roles, UntrustedError when it was revoked."""
        if self.signer is None or self.role != "keeper":
            raise CredentialError(f"{what} needs the keeper's key; {self.label!r} is a {self.role}")
        if not self.can_write:
            raise UntrustedError(
                f"{what} needs a keeper's key that counts; {self.label!r} was revoked",
                hint="use another keeper's key",
            )
        return self.signer

    def header(self, kind: Kind) -> Header:
        """The header of a new object of that kind."""
        sealed = self.suite is not Suite.PLAIN and kind is not Kind.CONFIG and kind not in FOR_MEMBERS
        epoch = self.config.epochs[-1].number if sealed else 0
        return Header(kind.value, FORMAT_VERSION, int(self.suite), epoch, self.vault)

    def require_suite(self, header: Header, name: str) -> None:
        """Raises DamageError for an object of a suite that it cannot have: that of its epoch, and plain where all is.

        Where no epoch seals it, or one that is not known here, any suite with the vault's ciphers will do.
        """
        suite = suite_of(header.suite)
        found = next((epoch for epoch in self.config.epochs if epoch.number == header.epoch), None)
        fits = (suite is Suite.PLAIN) == (self.suite is Suite.PLAIN)
        if not fits or (found is not None and sealing_suite(found.public) is not suite):
            raise DamageError(f"{name} has suite {header.suite}, its vault {int(self.suite)}", object_name=name)

    def epoch_public(self, number: int) -> bytes:
        return next(epoch.public for epoch in self.config.epochs if epoch.number == number)

    def cipher(self, key: bytes) -> BlobCipher:
        return new_cipher(self.suite, key)

    def trusted_signer(self, kind: Kind, mark: str, object_name: str) -> Signer:
        """The signer with that fingerprint. Raises UntrustedError when it may not sign this kind."""
        signer = self._trusted.get(mark)
        if signer is None or signer.role not in MAY_SIGN[kind]:
            raise UntrustedError(
                f"{object_name} is signed by {mark[:8]}…, which this vault's configuration does not trust for that",
                hint="somebody without a writer's key put it there; do not restore from it",
                object_name=object_name,
            )
        return signer
