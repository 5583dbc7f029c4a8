"""What is asked of a key management service (KMS): wrap a 32-byte key, unwrap it, and bind it to a vault and an epoch.

Key URIs name everything that is needed to find a key, the region included; nothing of them is secret::

    aws-kms://eu-central-1/alias/holdfast            aws-kms://eu-central-1/1234abcd-12ab-34cd-56ef-1234567890ab
    azure-kv://my-vault.vault.azure.net/keys/holdfast
    gcp-kms://projects/p/locations/europe-west3/keyRings/r/cryptoKeys/holdfast

A configuration on a store is hostile until a keeper's signature was verified, and such URIs stand in it: only hosts of
the three clouds can be formed from one, and every part of it is checked against what the cloud allows there.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Protocol

from holdfast.errors import UsageError

__all__ = [
    "CALL_SECONDS",
    "CONNECT_SECONDS",
    "READ_SECONDS",
    "KeyUri",
    "KeyService",
    "Binding",
    "parse_key_uri",
    "kms_label",
]

CONNECT_SECONDS, READ_SECONDS = 5.0, 15.0
"""How long a piece of an answer is waited for."""

CALL_SECONDS = 40.0
"""How long a service is asked, all attempts together, before another recipient is tried."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,126}"
_FORMS: Final = {
    "aws-kms": re.compile(
        r"(?P<region>[a-z]{2}(-[a-z]+){1,3}-[0-9]{1,2})/(?P<key>alias/[A-Za-z0-9/_-]{1,250}|[a-z0-9-]{10,64})"
    ),
    "azure-kv": re.compile(
        r"(?P<region>[a-zA-Z0-9-]{3,24}\.(vault\.azure\.net|vault\.azure\.cn|vault\.usgovcloudapi\.net))"
        rf"/keys/(?P<key>{_NAME}(/[0-9a-f]{{32}})?)"
    ),
    "gcp-kms": re.compile(
        r"(?P<key>projects/[a-z0-9.:-]{1,128}/locations/(?P<region>[a-z0-9-]{2,63})"
        rf"/keyRings/{_NAME}/cryptoKeys/{_NAME})"
    ),
}
_URI_MAX = 1024


class KeyUri(NamedTuple):
    """`scheme`: aws-kms, azure-kv or gcp-kms. `region`: for Azure, the host. `key`: what the service calls it."""

    text: str
    scheme: str
    region: str
    key: str


class Binding(NamedTuple):
    """What a wrapped key is bound to: unwrapping demands the same. Services show it in their logs; it is not secret."""

    vault: str  # 32 hex digits
    epoch: int

    def as_map(self) -> dict[str, str]:
        """AWS: the encryption context, which policies may demand (kms:EncryptionContext:holdfast-vault)."""
        return {"holdfast-epoch": str(self.epoch), "holdfast-vault": self.vault}

    def as_octets(self) -> bytes:
        """Google: additional authenticated data."""
        return f"holdfast vault {self.vault} epoch {self.epoch}".encode("ascii")


class KeyService(Protocol):
    """One key of one service. Errors name the key and never hold what the service was given or gave."""

    uri: KeyUri

    def wrap(self, key32: bytes, binding: Binding) -> bytes:
        """`key32` under the service's key. Raises PermissionDeniedError, NotFoundError (no such key),
        StoreUnreachableError, FailedError.
        """
        ...

    def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        """The 32 bytes. Raises WrongKeyError (another key or binding, or changed bytes), and what `wrap` raises."""
        ...


def parse_key_uri(text: str) -> KeyUri:
    """The parts of a key URI. Raises UsageError for what is none."""
    scheme, _, rest = text.partition("://")
    form = _FORMS.get(scheme)
    found = form.fullmatch(rest) if form is not None and len(text) <= _URI_MAX else None
    if found is None:
        raise UsageError(
            "this is no URI of a key in a key management service",
            hint="aws-kms://REGION/KEY, azure-kv://NAME.vault.azure.net/keys/KEY, or "
            "gcp-kms://projects/P/locations/REGION/keyRings/R/cryptoKeys/KEY",
        )
    return KeyUri(text, scheme, found["region"], found["key"])


def kms_label(uri: KeyUri) -> str:
    """A label for the recipient: the scheme and the last name, as far as labels allow it."""
    name = uri.key.split("/keys/")[-1].rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9._-]", "-", f"{uri.scheme}-{name}")[:64]
