"""Object locks of Amazon S3 and its kin, through boto3 (the extra `aws`).

Source: Amazon S3 API Reference (PutObjectRetention, HeadObject, ListObjectVersions, CopyObject) and User Guide,
"Locking objects with Object Lock". What writes objects stays obstore; only locks and versions go this way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, TypeVar

from holdfast.clock import to_rfc3339
from holdfast.errors import (
    FailedError,
    HoldfastError,
    MissingExtraError,
    PermissionDeniedError,
)
from holdfast.stores.cloud_options import sort_options
from holdfast.stores.keys import is_key
from holdfast.stores.retention.port import (
    LockSupport,
    Mode,
    Period,
    Retained,
    Retention,
    Version,
    satisfies,
    stricter,
    whole_seconds,
)
from holdfast.stores.retention.s3_errors import raise_answered, raise_unanswered

__all__ = ["S3Locks", "new_session"]

_NANOSECONDS = 1_000_000_000
_DAY_S = 86_400
_MODES = {"GOVERNANCE": Mode.GOVERNANCE, "COMPLIANCE": Mode.COMPLIANCE}
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_CONNECTIONS = 24

T = TypeVar("T")


class S3Locks:
    """The locks of `s3://bucket/prefix`. `options` are those of `open_store`; credentials from the usual places."""

    def __init__(self, bucket: str, prefix: str, options: Mapping[str, str]) -> None:
        sort_options("s3", options)  # the same checks, and the same refusal of secrets
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._client: Any = _client(options)
        self._reason: str | None = None

    def support(self) -> LockSupport:
        try:
            found = self._ask(
                f"ask {self._bucket} for its object lock",
                lambda: self._client.get_object_lock_configuration(Bucket=self._bucket),
            )
        except FailedError as error:
            if "ObjectLockConfigurationNotFound" in error.message:
                return LockSupport(
                    f"the bucket {self._bucket} has no Object Lock; a bucket gets it when it is made "
                    "(--object-lock-enabled-for-bucket), or later by its owner, with versioning"
                )
            raise
        configuration = found.get("ObjectLockConfiguration", {})
        if configuration.get("ObjectLockEnabled") != "Enabled":
            return LockSupport(f"the bucket {self._bucket} has no Object Lock")
        return LockSupport("", _default_of(configuration), self._lifecycle_notes())

    def now_ns(self) -> int:
        answer = self._ask(f"look at {self._bucket}", lambda: self._client.head_bucket(Bucket=self._bucket))
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        try:
            return _to_ns(parsedate_to_datetime(date))
        except (TypeError, ValueError) as error:
            raise FailedError(f"{self._bucket} does not tell the time in its answers") from error

    def retain(self, key: str, retention: Retention, version: str = "") -> Retained:
        self._require_locks(key)
        chosen = {"VersionId": version} if version else {}
        seen = self._head(key, chosen)
        found, version = _retention_in(seen), version or seen.get("VersionId", "")
        if satisfies(found, retention):
            return Retained(key, version, found)
        wanted = stricter(found, retention, key)
        try:
            return self._set(key, version, wanted)
        except PermissionDeniedError as error:
            if found is None or found.mode is wanted.mode:
                raise
            # SeaweedFS (4.48) lets no governance lock become one of compliance. It can still last as long.
            self._set(key, version, Retention(found.mode, wanted.until_ns))
            raise PermissionDeniedError(
                f"{key} stays locked in {found.mode.value} mode: this store lets no lock become stricter",
                hint=f"it is locked until {to_rfc3339(wanted.until_ns)[:10]} all the same; new objects get the mode",
                object_name=key,
            ) from error

    def _set(self, key: str, version: str, wanted: Retention) -> Retained:
        # Naming the version keeps it the one that was looked at.
        seconds = whole_seconds(wanted.until_ns)
        until = datetime.fromtimestamp(seconds, UTC)
        self._ask(
            f"lock {key} in {self._bucket}",
            lambda: self._client.put_object_retention(
                Bucket=self._bucket,
                Key=self._prefix + key,
                Retention={"Mode": wanted.mode.name, "RetainUntilDate": until},
                **({"VersionId": version} if version else {}),
            ),
            key,
        )
        return Retained(key, version, Retention(wanted.mode, seconds * _NANOSECONDS))

    def retention_of(self, key: str, version: str = "") -> Retention | None:
        return _retention_in(self._head(key, {"VersionId": version} if version else {}))

    def legal_hold(self, key: str, on: bool, version: str = "") -> None:
        self._ask(
            f"{'hold' if on else 'release'} {key} in {self._bucket}",
            lambda: self._client.put_object_legal_hold(
                Bucket=self._bucket,
                Key=self._prefix + key,
                LegalHold={"Status": "ON" if on else "OFF"},
                **({"VersionId": version} if version else {}),
            ),
            key,
        )

    def versions(self, prefix: str) -> Iterator[Version]:
        pages = self._client.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        found: list[Version] = []

        def read() -> None:
            for page in pages:
                for marker in (False, True):
                    for each in page.get("DeleteMarkers" if marker else "Versions", ()):
                        key = each["Key"][len(self._prefix) :]
                        if is_key(key):
                            found.append(
                                Version(
                                    key,
                                    each.get("VersionId", ""),
                                    each.get("Size", 0),
                                    _to_ns(each["LastModified"]),
                                    bool(each.get("IsLatest")),
                                    marker,
                                )
                            )

        self._ask(f"list the versions of {prefix!r} in {self._bucket}", read)
        yield from sorted(found, key=lambda one: (one.key, not one.is_current, -one.modified_ns))

    def read_version(self, key: str, version: str, span: tuple[int, int] | None = None) -> bytes:
        part = {"Range": f"bytes={span[0]}-{span[0] + span[1] - 1}"} if span is not None else {}

        def read() -> bytes:
            found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, VersionId=version, **part)
            content: bytes = found["Body"].read()
            return content

        return self._ask(f"read an older version of {key} in {self._bucket}", read, key)

    def restore_version(self, version: Version) -> None:
        where = self._prefix + version.key
        self._ask(
            f"restore {version.key} in {self._bucket}",
            lambda: self._client.copy_object(
                Bucket=self._bucket,
                Key=where,
                CopySource={"Bucket": self._bucket, "Key": where, "VersionId": version.version},
                MetadataDirective="REPLACE",  # some services refuse a copy onto itself that changes nothing
            ),
            version.key,
        )

    def _require_locks(self, key: str) -> None:
        """SeaweedFS (4.48) takes, and shows, a lock in a bucket that has versions but no Object Lock, and keeps nothing
        by it. So the bucket is asked, once.
        """
        if self._reason is None:
            self._reason = self.support().reason
        if self._reason:
            raise FailedError(f"{key} cannot be locked: {self._reason}", object_name=key)

    def _head(self, key: str, chosen: Mapping[str, str]) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask(
            f"look up {key} in {self._bucket}",
            lambda: self._client.head_object(Bucket=self._bucket, Key=self._prefix + key, **chosen),
            key,
        )
        return answer

    def _lifecycle_notes(self) -> tuple[str, ...]:
        """Rules that hide or expire objects by themselves. Reading them needs a permission that a writer lacks."""
        try:
            rules = self._ask(
                "read lifecycle rules",
                lambda: self._client.get_bucket_lifecycle_configuration(Bucket=self._bucket),
            ).get("Rules", ())
        except HoldfastError:
            return ()
        return tuple(
            f"lifecycle rule {rule.get('ID', '?')!r} expires current objects: it would hide the vault's"
            for rule in rules
            if rule.get("Status") == "Enabled" and {"Days", "Date"} & rule.get("Expiration", {}).keys()
        )

    def _ask(self, what: str, request: Callable[[], T], key: str = "") -> T:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return request()
        except ClientError as error:
            raise_answered(error.response, what, key, error)
        except BotoCoreError as error:
            raise_unanswered(error, what, key)


def _client(options: Mapping[str, str]) -> Any:
    try:
        import boto3  # noqa: F401 - said in one place if it is not there
        from botocore import UNSIGNED
        from botocore.config import Config
    except ImportError as error:
        raise MissingExtraError(
            "object locks on S3 need boto3, which is not installed", hint="pip install 'holdfast[aws]'"
        ) from error
    virtual = options.get("virtual_hosted_style_request", "").lower() in ("1", "true", "on", "yes", "y")
    endpoint = options.get("endpoint") or _first_of(_ENDPOINTS)
    config = Config(
        connect_timeout=5,
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": 5},
        max_pool_connections=_CONNECTIONS,
        s3={"addressing_style": "virtual" if virtual or not endpoint else "path"},
        **({"signature_version": UNSIGNED} if options.get("skip_signature", "").lower() in ("1", "true") else {}),
    )
    return new_session().client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=options.get("region") or _first_of(_REGIONS) or "us-east-1",
        verify=options.get("root_certificate") or None,
        config=config,
    )


def new_session() -> Any:
    """A session of boto3's, with credentials as the environment has them now. Raises ImportError."""
    import boto3
    from botocore.session import get_session

    core = get_session()
    core.register_component("data_loader", _loader())
    return boto3.session.Session(botocore_session=core)


@cache
def _loader() -> Any:
    """The descriptions of services, which take a quarter of a second to read."""
    from botocore.loaders import create_loader

    return create_loader()


def _first_of(variables: tuple[str, ...]) -> str:
    return next(filter(None, map(os.environ.get, variables)), "") or ""


def _default_of(configuration: Mapping[str, Any]) -> Period | None:
    rule = configuration.get("Rule", {}).get("DefaultRetention", {})
    mode = _MODES.get(rule.get("Mode", ""))
    days = rule.get("Days") or 365 * (rule.get("Years") or 0)
    return Period(float(days * _DAY_S), mode) if mode is not None and days else None


def _retention_in(answer: Mapping[str, Any]) -> Retention | None:
    mode, until = _MODES.get(answer.get("ObjectLockMode", "")), answer.get("ObjectLockRetainUntilDate")
    return Retention(mode, _to_ns(until)) if mode is not None and until is not None else None


def _to_ns(moment: datetime) -> int:
    return int(moment.timestamp()) * _NANOSECONDS + moment.microsecond * 1000
