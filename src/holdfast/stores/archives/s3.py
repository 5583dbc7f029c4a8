"""Archived objects of Amazon S3 and its kin, through boto3 (the extra `aws`).

Source: Amazon S3 API Reference (ListObjectsV2, HeadObject, RestoreObject) and User Guide, "Restoring an archived
object". Of Intelligent-Tiering, whose archive tiers no listing shows, nothing is known here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from holdfast.errors import ConflictError, FailedError, MissingExtraError
from holdfast.stores.archives.port import Archived, Speed, Standing
from holdfast.stores.keys import is_key
from holdfast.stores.retention.s3 import new_session
from holdfast.stores.retention.s3_errors import raise_answered, raise_unanswered

__all__ = ["S3Archives", "restore_header"]

_KINDS = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_SPEEDS = {Speed.STANDARD: "Standard", Speed.BULK: "Bulk", Speed.EXPEDITED: "Expedited"}
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_PARALLEL = 16
_ONGOING = re.compile(r'ongoing-request="(true|false)"')
_EXPIRY = re.compile(r'expiry-date="([^"]{1,60})"')

T = TypeVar("T")


class S3Archives:
    """The archived objects of `s3://bucket/prefix`. `options` and `credentials` are those of `open_store`."""

    def __init__(self, bucket: str, prefix: str, options: Mapping[str, str], credentials: Mapping[str, str]) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._client: Any = _client(options, credentials)

    def archived(self, prefix: str) -> Iterator[Archived]:
        found: list[tuple[str, int, str]] = []

        def read() -> None:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for each in page.get("Contents", ()):
                    key, kind = each["Key"][len(self._prefix) :], each.get("StorageClass", "")
                    if kind in _KINDS and is_key(key):
                        found.append((key, int(each["Size"]), kind))

        self._ask(f"list {prefix!r} in {self._bucket}", read)
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="holdfast-archive") as pool:
            yield from pool.map(self._look, sorted(found))

    def ask(self, key: str, days: int, speed: Speed) -> None:
        def request() -> None:
            self._client.restore_object(
                Bucket=self._bucket,
                Key=self._prefix + key,
                RestoreRequest={"Days": max(1, days), "GlacierJobParameters": {"Tier": _SPEEDS[speed]}},
            )

        try:
            self._ask(f"ask for {key} in {self._bucket}", request, key)
        except (ConflictError, FailedError) as error:
            if "RestoreAlreadyInProgress" not in error.message:
                raise

    def _look(self, one: tuple[str, int, str]) -> Archived:
        key, size, kind = one
        answer: dict[str, Any] = self._ask(
            f"look up {key} in {self._bucket}",
            lambda: self._client.head_object(Bucket=self._bucket, Key=self._prefix + key),
            key,
        )
        standing, until = restore_header(str(answer.get("Restore", "")))
        return Archived(key, size, kind, standing, until)

    def _ask(self, what: str, request: Callable[[], T], key: str = "") -> T:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return request()
        except ClientError as error:
            raise_answered(error.response, what, key, error)
        except BotoCoreError as error:
            raise_unanswered(error, what, key)


def restore_header(text: str) -> tuple[Standing, int | None]:
    """What `x-amz-restore` says: `ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"`. Anything else
    is an object that nobody asked for.
    """
    ongoing = _ONGOING.search(text)
    if ongoing is None:
        return Standing.ARCHIVED, None
    if ongoing[1] == "true":
        return Standing.ASKED, None
    expiry = _EXPIRY.search(text)
    try:
        until = int(parsedate_to_datetime(expiry[1]).timestamp()) * 1_000_000_000 if expiry else None
    except (TypeError, ValueError, OverflowError):
        until = None
    return Standing.READABLE, until


def _client(options: Mapping[str, str], credentials: Mapping[str, str]) -> Any:
    try:
        import boto3  # noqa: F401 - said in one place if it is not there
        from botocore import UNSIGNED
        from botocore.config import Config
    except ImportError as error:
        raise MissingExtraError(
            "asking for archived objects on S3 needs boto3, which is not installed", hint="pip install 'holdfast[aws]'"
        ) from error
    endpoint = options.get("endpoint") or _first_of(_ENDPOINTS)
    virtual = options.get("virtual_hosted_style_request", "").lower() in ("1", "true", "on", "yes", "y")
    config = Config(
        connect_timeout=5,
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": 5},
        max_pool_connections=_PARALLEL,
        s3={"addressing_style": "virtual" if virtual or not endpoint else "path"},
        **({"signature_version": UNSIGNED} if options.get("skip_signature", "").lower() in ("1", "true") else {}),
    )
    return new_session().client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=options.get("region") or _first_of(_REGIONS) or "us-east-1",
        verify=options.get("root_certificate") or None,
        aws_access_key_id=credentials.get("access_key_id"),
        aws_secret_access_key=credentials.get("secret_access_key"),
        aws_session_token=credentials.get("session_token") or credentials.get("token"),
        config=config,
    )


def _first_of(variables: tuple[str, ...]) -> str:
    return next(filter(None, map(os.environ.get, variables)), "") or ""
