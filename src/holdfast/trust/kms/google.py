"""Google Cloud KMS, by its REST API (v1): encrypt and decrypt with a symmetric key. The extra `gcp` gives tokens.

Checksums (CRC-32C) go with every request and answer, as Google asks for: a key that was damaged on its way would
otherwise only be found when it is needed.

Source: cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys/encrypt and …/decrypt.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import partial
from typing import Any

from holdfast.errors import CredentialError, FailedError, MissingExtraError, StoreUnreachableError
from holdfast.trust.kms.port import READ_SECONDS, Binding, KeyUri
from holdfast.trust.kms.rest import RestKey, Token

__all__ = ["GoogleKey", "crc32c"]

_ENDPOINT = "https://cloudkms.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/cloudkms"


class GoogleKey:
    """A symmetric key (ENCRYPT_DECRYPT)."""

    def __init__(self, uri: KeyUri, *, endpoint: str = _ENDPOINT, token: Token | None = None) -> None:
        """`endpoint` and `token` for another place and identity than Google's and those of the environment."""
        self.uri = uri
        self._rest = RestKey(uri, "Google Cloud KMS", endpoint, token or _Identity(uri).get_token)

    def wrap(self, key32: bytes, binding: Binding) -> bytes:
        answer = self._call("encrypt", {"plaintext": key32}, binding, "wrap")
        if not (answer.get("verifiedPlaintextCrc32c") and answer.get("verifiedAdditionalAuthenticatedDataCrc32c")):
            raise StoreUnreachableError(f"Google Cloud KMS did not receive the key for {self.uri.text} as it was sent")
        return self._octets(answer, "ciphertext")

    def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        return self._octets(self._call("decrypt", {"ciphertext": wrapped}, binding, "unwrap"), "plaintext")

    def _call(self, verb: str, fields: dict[str, bytes], binding: Binding, what: str) -> dict[str, Any]:
        body: dict[str, str] = {}
        for name, value in {**fields, "additionalAuthenticatedData": binding.as_octets()}.items():
            body[name] = base64.b64encode(value).decode()
            body[f"{name}Crc32c"] = str(crc32c(value))
        return self._rest.post(f"/v1/{self.uri.key}:{verb}", body, what)

    def _octets(self, answer: dict[str, Any], name: str) -> bytes:
        try:
            value = base64.b64decode(str(answer.get(name, "")), validate=True)
        except (binascii.Error, ValueError):
            raise FailedError(f"Google Cloud KMS gave no sensible answer for {self.uri.text}") from None
        if str(answer.get(f"{name}Crc32c", "")) != str(crc32c(value)):
            raise StoreUnreachableError(f"the answer of Google Cloud KMS for {self.uri.text} was damaged on its way")
        return value


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli; RFC 3720, 12.1): for the few hundred bytes of a request."""
    value = 0xFFFFFFFF
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


class _Identity:
    """Tokens from where google-auth looks: GOOGLE_APPLICATION_CREDENTIALS, gcloud's file, the metadata server."""

    def __init__(self, uri: KeyUri) -> None:
        try:
            import google.auth
            from google.auth.exceptions import GoogleAuthError
            from google.auth.transport.requests import Request
        except ImportError as error:
            raise MissingExtraError(
                f"{uri.text} needs google-auth, which is not installed", hint="pip install 'holdfast[gcp]'"
            ) from error
        self._uri, self._errors, self._request = uri, GoogleAuthError, Request
        try:
            self._credentials, _ = google.auth.default(scopes=[_SCOPE])
            self._refresh: Callable[[Any], Any] = self._credentials.refresh
        except GoogleAuthError as error:
            raise self._unusable(error) from None

    def get_token(self) -> str:
        try:
            if not self._credentials.valid:
                self._refresh(partial(self._request(), timeout=READ_SECONDS))
        except self._errors as error:
            raise self._unusable(error) from None
        return str(self._credentials.token)

    def _unusable(self, error: Exception) -> CredentialError:
        return CredentialError(
            f"there are no usable Google credentials for {self._uri.text} ({type(error).__name__})",
            hint="set GOOGLE_APPLICATION_CREDENTIALS, use the machine's service account, or `gcloud auth "
            "application-default login`",
        )
