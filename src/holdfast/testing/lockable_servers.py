"""S3 servers whose buckets lock objects, and the credentials of an attacker, for tests and drills of ransomware.

SeaweedFS has Object Lock and identities of its own; moto (a second dialect, in this process) has Object Lock without
checking that a lock only grows, which `MotoLockServer` adds from Amazon's documentation.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from holdfast.errors import MissingExtraError
from holdfast.stores.retention.s3 import new_session
from holdfast.testing.endpoints import Endpoint
from holdfast.testing.servers import SeaweedServer

__all__ = ["LockingSeaweed", "MotoLockServer", "s3_client", "ORDINARY_ENVIRONMENT"]

_ORDINARY_KEY = f"ordinary{secrets.token_hex(6)}"
_ORDINARY_SECRET = secrets.token_hex(20)
# What a trainer has, and so what an attacker steals: it puts, deletes (versions, too) and locks. It may not bypass.
ORDINARY_ENVIRONMENT: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": _ORDINARY_KEY,
    "AWS_SECRET_ACCESS_KEY": _ORDINARY_SECRET,
}

_LOCKING = (
    "GetBucketObjectLockConfiguration",
    "GetObjectRetention",
    "PutObjectRetention",
    "GetObjectLegalHold",
    "PutObjectLegalHold",
)


def s3_client(endpoint: str, environment: Mapping[str, str]) -> Any:
    """A boto3 client with those credentials: what an attacker, or a bucket's owner, uses."""
    try:
        from botocore.config import Config

        session = new_session()
    except ImportError as error:
        raise MissingExtraError("boto3 is not installed", hint="pip install 'holdfast[aws]'") from error
    return session.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 2}, max_pool_connections=24),
    )


class LockingSeaweed(SeaweedServer):
    """SeaweedFS with a second, ordinary identity, and buckets with or without Object Lock on demand.

    `environment` has the owner's credentials, ORDINARY_ENVIRONMENT those of everybody else.
    """

    def new_bucket(self, *, locking: bool = True) -> str:
        """The name of a new bucket that keeps versions, and locks objects unless told otherwise."""
        name = f"lock-{secrets.token_hex(6)}"
        owner = s3_client(self.endpoint, self.environment)
        if locking:
            owner.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        else:
            owner.create_bucket(Bucket=name)
            owner.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def _command(self) -> list[str]:
        owner = super().environment
        allowed = ["Read", "Write", "List", "Tagging", *_LOCKING]
        identities = [
            _identity("owner", owner["AWS_ACCESS_KEY_ID"], owner["AWS_SECRET_ACCESS_KEY"], ["Admin", *allowed]),
            _identity("ordinary", _ORDINARY_KEY, _ORDINARY_SECRET, allowed),
        ]
        config = Path(self.folder).with_name(f"{self.folder.name}-identities.json")
        config.touch(mode=0o600)
        config.write_text(json.dumps({"identities": identities}))
        return [*super()._command(), f"-s3.config={config}"]


class MotoLockServer(Endpoint):
    """moto's S3 in this process, on a free port: a second dialect. It asks nobody who he is.

    moto (5.2) lets anybody shorten, weaken and take off a lock, and suspend versioning of a bucket with Object Lock,
    whose versions can be deleted then. What Amazon S3 does instead is added here (User Guide, "Locking objects with
    Object Lock"): a lock that has not ended only grows and gets stricter, and versioning stays on.
    """

    def __init__(self) -> None:
        self._server: Any = None
        self._backend: Any = None
        self._before: Any = None
        self._port = 0
        self.bucket = ""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}"

    @property
    def options(self) -> Mapping[str, str]:
        return {"endpoint": self.endpoint, "allow_http": "true", "region": "us-east-1"}

    @property
    def environment(self) -> Mapping[str, str]:
        return ORDINARY_ENVIRONMENT

    def new_bucket(self, *, locking: bool = True) -> str:
        """As of `LockingSeaweed`."""
        name = f"lock-{secrets.token_hex(6)}"
        owner = s3_client(self.endpoint, self.environment)
        owner.create_bucket(Bucket=name, ObjectLockEnabledForBucket=locking)
        owner.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def __enter__(self) -> Self:
        try:
            from moto.moto_server.threaded_moto_server import ThreadedMotoServer
            from moto.s3 import models
        except ImportError as error:
            raise MissingExtraError("moto is not installed", hint="pip install 'moto[s3,server]'") from error
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._backend = models.S3Backend
        self._before = self._backend.put_object_retention, self._backend.put_bucket_versioning
        self._backend.put_object_retention = _only_growing(self._before[0])
        self._backend.put_bucket_versioning = _staying_on(self._before[1])
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self._port = self._server.get_host_and_port()[1]
        self.bucket = self.new_bucket()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._backend.put_object_retention, self._backend.put_bucket_versioning = self._before
        self._server.stop()


def _only_growing(before: Any) -> Any:
    from moto.s3.exceptions import AccessDeniedByLock

    def put_object_retention(
        backend: Any, bucket_name: str, key_name: str, version_id: str | None, retention: tuple[str | None, str | None]
    ) -> None:
        key = backend.get_object(bucket_name, key_name, version_id=version_id)
        if key is not None and key.lock_mode and key.is_locked(governance_bypass=False):
            mode, until = retention
            weaker = key.lock_mode == "COMPLIANCE" and mode != "COMPLIANCE"
            if not mode or not until or weaker or _second(until) < _second(key.lock_until):
                raise AccessDeniedByLock
        before(backend, bucket_name, key_name, version_id, retention)

    return put_object_retention


def _staying_on(before: Any) -> Any:
    from moto.s3.exceptions import AccessDeniedByLock

    def put_bucket_versioning(backend: Any, bucket_name: str, status: str) -> None:
        if status != "Enabled" and backend.get_bucket(bucket_name).object_lock_enabled:
            raise AccessDeniedByLock
        before(backend, bucket_name, status)

    return put_bucket_versioning


def _second(moment: str) -> str:
    return moment[:19]  # RFC 3339, UTC: the order of the texts is that of the times


def _identity(name: str, key: str, secret: str, actions: list[str]) -> dict[str, Any]:
    return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
