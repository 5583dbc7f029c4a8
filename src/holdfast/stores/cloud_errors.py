"""What obstore's errors mean. It tells few classes apart, so the HTTP status and the code in the answer are read too.

obstore's texts run over many lines and repeat whole answers; a message of ours takes only status and code from them.
(URLs with a signature in them it blackens itself.)
"""

from __future__ import annotations

import re

from obstore import exceptions

from holdfast.errors import (
    AlreadyExistsError,
    ArchivedError,
    ConflictError,
    DamageError,
    FailedError,
    HoldfastError,
    NotFoundError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StorageFullError,
    StoreUnreachableError,
    UsageError,
)

__all__ = ["RAISED_BY_OBSTORE", "misconfigured", "translated"]

# FileNotFoundError and ValueError are what it raises instead of its own "not found" and "invalid path".
RAISED_BY_OBSTORE = (exceptions.BaseError, OSError, ValueError)

_STATUS = re.compile(r"status code: ([0-9]{3})")
_CODE = re.compile(r"<Code>\s*([A-Za-z0-9_.-]{1,60})\s*</Code>")
_BLAME = re.compile(r"^(Generic [A-Za-z0-9 ]+ error: )+")
_KIND = re.compile(r"kind: (Connect|Timeout|Request|Interrupted|Decode|Unknown)\b")
# Where a client without credentials looks for them last: the metadata services of AWS, Azure and Google.
_METADATA_SERVICE = ("/latest/api/token", "/latest/meta-data/", "/metadata/identity/", "/computeMetadata/v1/")
_SLOW = re.compile(r"kind: (Timeout|Interrupted)\b")
# S3 answers these with status 400, which else means that the request itself is wrong.
_EXPIRED = ("<Code>ExpiredToken</Code>", "<Code>TokenRefreshRequired</Code>")
_TIMED_OUT = "<Code>RequestTimeout</Code>"
_NO_CONTAINER = ("NoSuchBucket", "ContainerNotFound")
# A redirect without a place to go to is how S3 answers in the wrong region; obstore then reports no status.
_OTHER_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "redirect without LOCATION")
# S3 answers a read of an archived object with 403, Azure with 409.
_ARCHIVED = ("<Code>InvalidObjectState</Code>", "<Code>BlobArchived</Code>", "<Code>BlobBeingRehydrated</Code>")
_FULL = ("QuotaExceeded", "XMinioStorageFull", "AccountQuotaExceeded", "InsufficientStorage")
_NO_CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, or AZURE_STORAGE_ACCOUNT_KEY; "
    "profiles in ~/.aws are not read"
)


def misconfigured(error: Exception, url: str) -> UsageError:
    """The error for a store that could not even be set up: an option or an environment variable makes no sense."""
    reason = _BLAME.sub("", str(error).partition("\n")[0])[:200]
    return UsageError(
        f"cannot open {url}: {reason}",
        hint="look at the options and the environment; Azure needs account_name or AZURE_STORAGE_ACCOUNT_NAME",
    )


def translated(error: Exception, what: str, object_name: str) -> HoldfastError:
    """The error of Holdfast for one of obstore: "cannot `what`: reason"."""
    text = str(error)
    if any(service in text for service in _METADATA_SERVICE):
        if _SLOW.search(text):
            return StoreUnreachableError(
                f"cannot {what}: the metadata service that hands out credentials does not answer",
                hint=f"try again; where there is no such service, {_NO_CREDENTIALS}",
                object_name=object_name,
            )
        return PermissionDeniedError(
            f"cannot {what}: no credentials were found", hint=_NO_CREDENTIALS, object_name=object_name
        )
    if any(code in text for code in _ARCHIVED):
        return ArchivedError(
            f"cannot {what}: it lies in an archive, and has to be asked for before it can be read",
            object_name=object_name,
        )
    if any(code in text for code in _EXPIRED):
        return _denied(what, text, object_name)
    if any(code in text for code in _NO_CONTAINER):
        return NotFoundError(
            f"cannot {what}: the bucket or container does not exist",
            hint="create it with the cloud's own tools, and look at region, endpoint and account",
            object_name=object_name,
        )
    if any(sign in text for sign in _OTHER_REGION):
        return UsageError(
            f"cannot {what}: the bucket lies in another region", hint="set the option region", object_name=object_name
        )
    found = _STATUS.search(text)
    status = int(found[1]) if found else None
    if status is not None and (status == 507 or any(code in text for code in _FULL)):
        return StorageFullError(f"cannot {what}: the store is full ({_answer(status, text)})", object_name=object_name)
    return _by_class(error, what, object_name) or _by_status(status, text, what, object_name)


def _by_class(error: Exception, what: str, object_name: str) -> HoldfastError | None:
    if isinstance(error, FileNotFoundError):
        return ObjectNotFoundError(f"cannot {what}: it is not there", object_name=object_name)
    if isinstance(error, exceptions.AlreadyExistsError | exceptions.PreconditionError):
        return AlreadyExistsError(f"cannot {what}: it exists already", object_name=object_name)
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        return _denied(what, str(error), object_name)
    return None


def _by_status(status: int | None, text: str, what: str, object_name: str) -> HoldfastError:
    if status is None:
        return _without_answer(text, what, object_name)
    if status in (401, 403):
        return _denied(what, text, object_name)
    if status == 416:
        return DamageError(f"{object_name} ends before the bytes that were asked for", object_name=object_name)
    message = f"cannot {what}: the store answered {_answer(status, text)}"
    unreachable = _TIMED_OUT in text
    return (StoreUnreachableError if unreachable else _class_for(status))(message, object_name=object_name)


def _class_for(status: int) -> type[HoldfastError]:
    if status in (408, 425, 429) or status >= 500:
        return StoreUnreachableError
    return {404: NotFoundError, 409: ConflictError}.get(status, FailedError)


def _without_answer(text: str, what: str, object_name: str) -> HoldfastError:
    if "builder error" in text:
        return UsageError(
            f"cannot {what}: the endpoint is no URL that may be used",
            hint="it begins with https://; for http:// set allow_http=true",
            object_name=object_name,
        )
    kind = _KIND.search(text)
    if kind or "HTTP error" in text:
        how = f" ({kind[1].lower()})" if kind else ""
        return StoreUnreachableError(f"cannot {what}: no answer{how}", object_name=object_name)
    return FailedError(f"cannot {what}: {_BLAME.sub('', text.partition(chr(10))[0])[:200]}", object_name=object_name)


def _denied(what: str, text: str, object_name: str) -> PermissionDeniedError:
    status = _STATUS.search(text)
    answer = f" ({_answer(int(status[1]), text)})" if status else ""
    return PermissionDeniedError(
        f"cannot {what}: the store refuses access{answer}",
        hint="look at the credentials in the environment, at what they may do, and at the machine's clock",
        object_name=object_name,
    )


def _answer(status: int, text: str) -> str:
    code = _CODE.search(text)
    return f"{status} {code[1]}" if code else str(status)
