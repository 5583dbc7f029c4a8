"""Asking a server whether it is the one we started: the smallest signed requests of S3 and Azure Blob.

Signed here, with the standard library, so that the question does not depend on the client that the tests examine.
Sources: AWS "Signature Version 4 for API requests"; Microsoft "Authorize with Shared Key".
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urlsplit

from holdfast.clock import SYSTEM_CLOCK

__all__ = ["s3_bucket_answers", "azure_container_created"]

_SECONDS_MAX = 2.0
_AZURE_VERSION = "2021-08-06"
_S3_LIST, _S3_PROBE = "list-type=2&max-keys=1", "probe-of-a-start"


def s3_bucket_answers(endpoint: str, bucket: str, access_key: str, secret_key: str) -> bool:
    """Whether `endpoint` knows `bucket`, believes our signature but not one by another key, and can store a byte.

    Just started again, a server may list well before the part of it that holds the bytes is there.
    """

    def list_with(key: str) -> int | None:
        return _s3(endpoint, "GET", f"/{bucket}", _S3_LIST, (access_key, key))

    def probe(method: str, body: bytes = b"") -> int | None:
        return _s3(endpoint, method, f"/{bucket}/{_S3_PROBE}", "", (access_key, secret_key), body)

    if list_with(secret_key) != 200 or list_with(secret_key + "?") != 403:
        return False
    return probe("PUT", b"?") == 200 and probe("GET") == 200 and probe("DELETE") in (200, 204)


def azure_container_created(endpoint: str, account: str, key: str, container: str) -> bool:
    """Create `container` unless it is there; whether `endpoint` accepted that with our account and key."""
    date = format_datetime(_now(), usegmt=True)
    headers = {"Content-Length": "0", "x-ms-date": date, "x-ms-version": _AZURE_VERSION}
    # PUT; eleven standard headers, empty here; x-ms-*; the resource (the emulator's path names the account twice)
    text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{_AZURE_VERSION}\n"
    text += f"/{account}{urlsplit(endpoint).path}/{container}\nrestype:container"
    signature = b64encode(hmac.digest(b64decode(key), text.encode(), "sha256")).decode()
    headers["Authorization"] = f"SharedKey {account}:{signature}"
    path = f"{urlsplit(endpoint).path}/{container}?restype=container"
    return _status(endpoint, "PUT", path, headers) in (201, 409)


def _s3(endpoint: str, method: str, path: str, query: str, access: tuple[str, str], body: bytes = b"") -> int | None:
    """The status of a request signed with AWS Signature Version 4; `access`: access key and secret key."""
    access_key, secret_key = access
    now = _now()
    day, moment = f"{now:%Y%m%d}", f"{now:%Y%m%dT%H%M%SZ}"
    headers = {
        "host": urlsplit(endpoint).netloc,
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-date": moment,
    }
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{headers['x-amz-content-sha256']}"
    scope = f"{day}/us-east-1/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signing_key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        signing_key = hmac.digest(signing_key, part.encode(), "sha256")
    signature = hmac.digest(signing_key, text.encode(), "sha256").hex()
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return _status(endpoint, method, f"{path}?{query}", headers, body)


def _now() -> datetime:
    return datetime.fromtimestamp(SYSTEM_CLOCK.now_ns() // 1_000_000_000, UTC)


def _status(endpoint: str, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> int | None:
    """The status of the answer; None when nobody answers, or not in HTTP."""
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=_SECONDS_MAX)
    try:
        connection.request(method, path, body=body or None, headers=dict(headers))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
