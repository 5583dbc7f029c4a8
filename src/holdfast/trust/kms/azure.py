"""Azure Key Vault, by its REST API (7.4): wrapKey and unwrapKey with RSA-OAEP-256. The extra `azure` gives tokens.

The algorithm has no associated data: that a key is of this vault and epoch is bound by what it wraps (recipients.py).
Whoever has the public half of an RSA key can wrap for it: that something unwraps proves nothing of who wrapped it.

Sources: learn.microsoft.com/rest/api/keyvault/keys/wrap-key and …/unwrap-key.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from holdfast.errors import CredentialError, DamageError, FailedError, MissingExtraError
from holdfast.trust.kms.port import Binding, KeyUri
from holdfast.trust.kms.rest import RestKey, Token

__all__ = ["AzureKey"]

_ALGORITHM = "RSA-OAEP-256"
_API = "api-version=7.4"
_VERSION = re.compile(rb"[0-9a-f]{32}")


class AzureKey:
    """An RSA key, perhaps of one version. What is wrapped begins with the version that wrapped it, 32 hex digits."""

    def __init__(self, uri: KeyUri, *, endpoint: str | None = None, token: Token | None = None) -> None:
        """`endpoint` and `token` for another place and identity than those of the URI and the environment."""
        self.uri = uri
        self._name, _, self._version = uri.key.partition("/")
        self._rest = RestKey(
            uri, "Azure Key Vault", endpoint or f"https://{uri.region}", token or _Identity(uri).get_token
        )

    def wrap(self, key32: bytes, binding: Binding) -> bytes:
        version = f"/{self._version}" if self._version else ""
        answer = self._call(f"/keys/{self._name}{version}/wrapkey", key32, "wrap")
        used = str(answer.get("kid", "")).rsplit("/", 1)[-1].encode("ascii", "replace")
        if not _VERSION.fullmatch(used):
            raise FailedError(f"Azure Key Vault did not say which version of {self.uri.text} it used")
        return used + self._value(answer)

    def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        version, value = wrapped[:32], wrapped[32:]
        if not _VERSION.fullmatch(version):
            raise DamageError(f"what {self.uri.text} wrapped is damaged: it names no version of the key")
        return self._value(self._call(f"/keys/{self._name}/{version.decode()}/unwrapkey", value, "unwrap"))

    def _call(self, path: str, value: bytes, what: str) -> dict[str, Any]:
        encoded = base64.urlsafe_b64encode(value).rstrip(b"=").decode()
        return self._rest.post(f"{path}?{_API}", {"alg": _ALGORITHM, "value": encoded}, what)

    def _value(self, answer: dict[str, Any]) -> bytes:
        text = str(answer.get("value", ""))
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise FailedError(f"Azure Key Vault gave no sensible answer for {self.uri.text}") from None


class _Identity:
    """Tokens for Key Vault from where azure-identity looks: environment, workload, machine, `az login`."""

    def __init__(self, uri: KeyUri) -> None:
        try:
            from azure.identity import DefaultAzureCredential
        except ImportError as error:
            raise MissingExtraError(
                f"{uri.text} needs azure-identity, which is not installed", hint="pip install 'holdfast[azure]'"
            ) from error
        self._uri = uri
        self._scope = "https://" + uri.region.partition(".")[2] + "/.default"
        self._credential: Any = DefaultAzureCredential(exclude_interactive_browser_credential=True)

    def get_token(self) -> str:
        from azure.core.exceptions import AzureError

        try:
            return str(self._credential.get_token(self._scope).token)
        except AzureError as error:
            raise CredentialError(
                f"there are no usable Azure credentials for {self._uri.text} ({type(error).__name__})",
                hint="use a managed identity, the AZURE_… variables of a service principal, or `az login`",
            ) from None
