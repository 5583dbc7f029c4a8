"""What botocore's errors mean: the errors of Holdfast for an answer that refuses, and for none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from holdfast.errors import (
    FailedError,
    NotFoundError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StoreUnreachableError,
)

__all__ = ["raise_answered", "raise_unanswered"]

_SETTINGS_MISSING = ("ObjectLockConfigurationNotFoundError", "NoSuchLifecycleConfiguration")


def raise_answered(answer: Mapping[str, Any], what: str, key: str, cause: Exception) -> NoReturn:
    """An answer with an error in it. `what` was tried."""
    code = str(answer.get("Error", {}).get("Code", ""))[:60]
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = f"cannot {what}: the store answered {status} {code}".rstrip()
    if code == "NoSuchBucket":
        raise NotFoundError(message, hint="look at the bucket's name, region and endpoint") from cause
    missing = status == 404 and code not in _SETTINGS_MISSING
    if missing or code in ("NoSuchKey", "NoSuchVersion"):
        raise ObjectNotFoundError(f"cannot {what}: it is not there", object_name=key) from cause
    if status in (401, 403):
        hint = "the credentials may not do that, or a lock forbids it; see docs/immutability.md for what is needed"
        raise PermissionDeniedError(message, hint=hint, object_name=key) from cause
    if status in (408, 425, 429) or status >= 500:
        raise StoreUnreachableError(message, object_name=key) from cause
    raise FailedError(message, hint="is Object Lock switched on for the bucket?", object_name=key) from cause


def raise_unanswered(error: Exception, what: str, key: str) -> NoReturn:
    """No answer, or no request."""
    from botocore import exceptions

    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a profile or role"
        raise PermissionDeniedError(f"cannot {what}: no credentials were found", hint=hint) from error
    if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError):
        raise StoreUnreachableError(f"cannot {what}: no answer ({type(error).__name__})", object_name=key) from error
    raise FailedError(f"cannot {what}: {type(error).__name__}", object_name=key) from error
