"""What whoever has a store's ordinary credential can do to it, request by request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

from holdfast.errors import HoldfastError
from holdfast.stores.retention.memory import VersionedMemoryStore
from holdfast.stores.retention.port import Mode, Retention, Version

__all__ = ["Surface", "MemorySurface", "S3Surface"]

_SECOND_NS = 1_000_000_000


class Surface(Protocol):
    """Requests of an attacker. Each returns whether the store let it happen; none raises."""

    def versions(self) -> Sequence[Version]: ...

    def shorten(self, key: str, version: str) -> bool:
        """Let the lock of a version end in a moment, in every way there is."""
        ...

    def destroy(self, key: str, version: str) -> bool:
        """Delete a version for good, also while claiming to be allowed to bypass its lock."""
        ...

    def overwrite(self, key: str, content: bytes) -> bool: ...

    def bury(self, key: str) -> bool:
        """Delete an object in the ordinary way."""
        ...

    def change_settings(self) -> list[str]:
        """Stop versioning, take the default lock away, have everything expire. What of that was let happen."""
        ...


class MemorySurface:
    """Of `VersionedMemoryStore`."""

    def __init__(self, store: VersionedMemoryStore) -> None:
        self._store = store

    def versions(self) -> Sequence[Version]:
        return list(self._store.versions(""))

    def shorten(self, key: str, version: str) -> bool:
        soon = Retention(Mode.GOVERNANCE, self._store.now_ns() + _SECOND_NS)
        done = _worked(lambda: self._store.set_retention(key, version, soon))
        return _worked(lambda: self._store.set_retention(key, version, None)) or done

    def destroy(self, key: str, version: str) -> bool:
        return _worked(lambda: self._store.delete_version(key, version))

    def overwrite(self, key: str, content: bytes) -> bool:
        return _worked(lambda: self._store.put(key, content))

    def bury(self, key: str) -> bool:
        return _worked(lambda: self._store.delete(key))

    def change_settings(self) -> list[str]:
        return []


class S3Surface:
    """Of a bucket, through a boto3 client with the stolen credential. Keys are below `prefix`.

    `claims_bypass`: say in requests that a governance lock is to be bypassed. Where the server asks nobody who he is
    (moto), that would be the permission itself, which an ordinary credential does not have.
    """

    def __init__(self, client: Any, bucket: str, prefix: str = "", *, claims_bypass: bool = True) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._claims: list[dict[str, bool]] = [{}]
        if claims_bypass:
            self._claims.append({"BypassGovernanceRetention": True})

    def versions(self) -> Sequence[Version]:
        found = []
        for page in self._client.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        ):
            for marker in (False, True):
                for each in page.get("DeleteMarkers" if marker else "Versions", ()):
                    key = each["Key"][len(self._prefix) :]
                    found.append(Version(key, each["VersionId"], each.get("Size", 0), 0, each["IsLatest"], marker))
        return found

    def shorten(self, key: str, version: str) -> bool:
        soon = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(seconds=2)}
        done = False
        for retention in (soon, {}):
            for more in self._claims:
                request = {"Key": self._prefix + key, "VersionId": version, "Retention": retention, **more}
                done |= self._worked(partial(self._client.put_object_retention, Bucket=self._bucket, **request))
        return done

    def destroy(self, key: str, version: str) -> bool:
        where = {"Bucket": self._bucket, "Key": self._prefix + key, "VersionId": version}
        return any(self._worked(partial(self._client.delete_object, **where, **more)) for more in self._claims)

    def overwrite(self, key: str, content: bytes) -> bool:
        return self._worked(lambda: self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=content))

    def bury(self, key: str) -> bool:
        return self._worked(lambda: self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key))

    def change_settings(self) -> list[str]:
        client, bucket = self._client, self._bucket
        expiry = {
            "ID": "gone",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "Expiration": {"Days": 1},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        }
        attempts = {
            "versioning suspended": lambda: client.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
            ),
            "default lock removed": lambda: client.put_object_lock_configuration(
                Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
            ),
            "lifecycle rule set": lambda: client.put_bucket_lifecycle_configuration(
                Bucket=bucket, LifecycleConfiguration={"Rules": [expiry]}
            ),
            "bucket deleted": lambda: client.delete_bucket(Bucket=bucket),
        }
        return [what for what, attempt in attempts.items() if self._worked(attempt)]

    def _worked(self, attempt: Callable[[], object]) -> bool:
        from botocore.exceptions import ClientError

        with suppress(ClientError):
            attempt()
            return True
        return False


def _worked(attempt: Callable[[], object]) -> bool:
    with suppress(HoldfastError):
        attempt()
        return True
    return False
