"""From key URIs to services, and recipients that open by one."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from typing import TypeAlias

from holdfast.errors import DamageError, FailedError, UsageError, WrongKeyError
from holdfast.trust.aead import TAG_SIZE, AesGcmCipher
from holdfast.trust.kms.port import Binding, KeyService, KeyUri, parse_key_uri
from holdfast.trust.private import Private
from holdfast.trust.recipients import KMS, Recipient, new_id

__all__ = ["KeyServices", "ServiceMaker", "open_key_service", "kms_recipient", "unwrap_with_kms", "key_uri_of"]

ServiceMaker: TypeAlias = Callable[[KeyUri], KeyService]

_KEY_SIZE = 32
_LENGTH = struct.Struct("<H")


def open_key_service(uri: KeyUri) -> KeyService:
    """The service for a key. Its cloud's package is imported here. Raises MissingExtraError, CredentialError."""
    if uri.scheme == "aws-kms":
        from holdfast.trust.kms.aws import AwsKey

        return AwsKey(uri)
    if uri.scheme == "azure-kv":
        from holdfast.trust.kms.azure import AzureKey

        return AzureKey(uri)
    from holdfast.trust.kms.google import GoogleKey

    return GoogleKey(uri)


class KeyServices(Private):
    """Opens by whatever key services this machine has credentials for; each is set up once. What opens a vault where
    there is no key file: `unwrap_with_kms`. `keepers`: fingerprints whose signature on the configuration counts.
    """

    def __init__(self, keepers: Sequence[str] = (), maker: ServiceMaker = open_key_service) -> None:
        self.keepers = tuple(keepers)
        self._maker = maker
        self._made: dict[str, KeyService] = {}

    def service(self, uri: str) -> KeyService:
        """Raises UsageError (no key URI), MissingExtraError, CredentialError."""
        if uri not in self._made:
            self._made[uri] = self._maker(parse_key_uri(uri))
        return self._made[uri]


def kms_recipient(
    services: KeyServices, uri: str, label: str, secret: bytes, info: bytes, binding: Binding
) -> Recipient:
    """A recipient that opens by the service's key. `wrapped`: u16le n || what the service wrapped (n bytes) ||
    AES-256-GCM of the secret (nonce 0, associated data `info`) || tag 16; a fresh 32-byte key is what it wrapped.

    Raises UsageError, and what the service raises.
    """
    key = os.urandom(_KEY_SIZE)
    token = services.service(uri).wrap(key, binding)
    if not token or len(token) > 0xFFFF:
        raise FailedError(f"{uri} gave something that cannot be kept")
    wrapped = _LENGTH.pack(len(token)) + token + AesGcmCipher(key).seal(0, secret, info)
    return Recipient(kind=KMS, label=label, id=new_id(), public=uri.encode("ascii"), wrapped=wrapped)


def unwrap_with_kms(recipient: Recipient, services: KeyServices, info: bytes, binding: Binding) -> bytes:
    """The secret wrapped for this recipient. Raises WrongKeyError, DamageError, and what the service raises."""
    uri = key_uri_of(recipient)
    wrapped = recipient.wrapped
    end = _LENGTH.size + (_LENGTH.unpack_from(wrapped)[0] if len(wrapped) >= _LENGTH.size else 0)
    if len(wrapped) < end + TAG_SIZE or end == _LENGTH.size:
        raise DamageError(f"what is wrapped for recipient {recipient.id} is cut short")
    key = services.service(uri).unwrap(wrapped[_LENGTH.size : end], binding)
    if len(key) != _KEY_SIZE:
        raise WrongKeyError(f"what {uri} unwrapped for recipient {recipient.id} is no key")
    try:
        return AesGcmCipher(key).open(0, wrapped[end:], info)
    except DamageError as error:
        raise WrongKeyError(f"what {uri} unwrapped is not the key of recipient {recipient.id}") from error


def key_uri_of(recipient: Recipient) -> str:
    """The URI of the key that a recipient opens by. Raises DamageError when it names none."""
    try:
        return parse_key_uri(recipient.public.decode("ascii")).text
    except (UnicodeDecodeError, UsageError) as error:
        raise DamageError(f"recipient {recipient.id} names no key of a key management service") from error
