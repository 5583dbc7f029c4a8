"""AWS KMS, through boto3 (extra `aws`). Credentials, endpoints and profiles come from where boto3 looks for them."""

from __future__ import annotations

from typing import Any

from holdfast.errors import (
    CredentialError,
    FailedError,
    HoldfastError,
    MissingExtraError,
    NotFoundError,
    PermissionDeniedError,
    StoreUnreachableError,
    WrongKeyError,
)
from holdfast.trust.kms.deadline import within
from holdfast.trust.kms.port import CALL_SECONDS, CONNECT_SECONDS, READ_SECONDS, Binding, KeyUri

__all__ = ["AwsKey"]

_DENIED = ("AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException")
_WRONG = ("InvalidCiphertextException", "IncorrectKeyException")
_LATER = ("ThrottlingException", "KMSInternalException", "DependencyTimeoutException", "LimitExceededException")


class AwsKey:
    """A symmetric key (SYMMETRIC_DEFAULT), by its id or alias, in one region."""

    def __init__(self, uri: KeyUri) -> None:
        """Raises MissingExtraError, CredentialError (a profile that is not there)."""
        self.uri = uri
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError as error:
            raise MissingExtraError(
                f"{uri.text} needs boto3, which is not installed", hint="pip install 'holdfast[aws]'"
            ) from error
        try:
            self._client: Any = boto3.session.Session().client(
                "kms",
                region_name=uri.region,
                config=Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": 2},
                ),
            )
        except (BotoCoreError, ValueError) as error:
            raise CredentialError(f"AWS KMS cannot be used for {uri.text} ({type(error).__name__})") from None

    def wrap(self, key32: bytes, binding: Binding) -> bytes:
        return self._call("encrypt", "CiphertextBlob", Plaintext=key32, EncryptionContext=binding.as_map())

    def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        return self._call("decrypt", "Plaintext", CiphertextBlob=wrapped, EncryptionContext=binding.as_map())

    def _call(self, operation: str, wanted: str, **arguments: Any) -> bytes:
        """What `wanted` names in the answer."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = within(CALL_SECONDS, lambda: getattr(self._client, operation)(KeyId=self.uri.key, **arguments))
            value = answer[wanted]
        except TimeoutError:
            raise self._failed(operation, "TimeoutError") from None
        except ClientError as error:  # nothing is chained: requests hold the key that is wrapped
            code = str(error.response.get("Error", {}).get("Code", ""))
            raise self._refused(operation, code) from None
        except BotoCoreError as error:
            raise self._failed(operation, type(error).__name__) from None
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError):  # botocore trusts what it parses
            value = None
        if not isinstance(value, bytes):
            name = self.uri.text
            raise FailedError(f"AWS KMS gave no sensible answer for {name}", object_name=name)
        return value

    def _refused(self, operation: str, code: str) -> HoldfastError:
        name = self.uri.text
        if code in _WRONG:
            return WrongKeyError(f"{name} does not unwrap this: it is of another key, vault or epoch", object_name=name)
        if code == "NotFoundException":
            return NotFoundError(f"there is no key {name}", hint="check region and id", object_name=name)
        if code in _DENIED:
            return PermissionDeniedError(
                f"AWS refuses kms:{operation.capitalize()} with {name} ({code})",
                hint="allow it in the key's policy, or use other credentials",
                object_name=name,
            )
        if code in _LATER:
            return StoreUnreachableError(f"AWS KMS is busy ({code}); {name} was not used", object_name=name)
        return FailedError(
            f"AWS does not {operation} with {name} ({code})",
            hint="is the key enabled, and symmetric?",
            object_name=name,
        )

    def _failed(self, operation: str, kind: str) -> HoldfastError:
        name = self.uri.text
        if "Credential" in kind or "Token" in kind or kind in ("ProfileNotFound", "SSOError"):
            return CredentialError(
                f"there are no usable AWS credentials to {operation} with {name} ({kind})",
                hint="set AWS_PROFILE or AWS_ACCESS_KEY_ID, or use a role of this machine",
            )
        return StoreUnreachableError(f"AWS KMS does not answer for {name} ({kind})", object_name=name)
