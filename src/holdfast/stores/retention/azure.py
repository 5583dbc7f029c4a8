"""Immutability policies of Azure Blob Storage, through azure-storage-blob (the extra `azure`).

Source: Microsoft, "Set Blob Immutability Policy", "Set Blob Legal Hold", "List Blobs" (REST API 2020-10-02 and
later) and "Version-level WORM policies". GOVERNANCE is the policy mode `Unlocked`: whoever may set such policies may
also shorten and delete them. COMPLIANCE is `Locked`. Both keep a version from being deleted; overwriting or deleting
the blob leaves the version, since the account keeps versions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, TypeVar

from holdfast.clock import SYSTEM_CLOCK
from holdfast.errors import (
    FailedError,
    MissingExtraError,
    NotFoundError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StoreUnreachableError,
    UsageError,
)
from holdfast.stores.cloud_options import sort_options
from holdfast.stores.keys import is_key
from holdfast.stores.retention.port import (
    LockSupport,
    Mode,
    Retained,
    Retention,
    Version,
    satisfies,
    stricter,
    whole_seconds,
)

__all__ = ["AzureLocks"]

_NANOSECONDS = 1_000_000_000
_MODES = {"unlocked": Mode.GOVERNANCE, "locked": Mode.COMPLIANCE}
_NAMES = {Mode.GOVERNANCE: "Unlocked", Mode.COMPLIANCE: "Locked"}
_COPY_POLLS, _COPY_POLL_SECONDS = 120, 0.5  # of a copy within the account, which is done at once as a rule

T = TypeVar("T")


class AzureLocks:
    """The locks of `az://container/prefix`. `options` are those of `open_store`."""

    def __init__(self, container: str, prefix: str, options: Mapping[str, str]) -> None:
        sort_options("az", options)
        self._container = container
        self._prefix = f"{prefix}/" if prefix else ""
        self._client: Any = _container_client(container, options)

    def support(self) -> LockSupport:
        found = self._ask(f"look at the container {self._container}", self._client.get_container_properties)
        if not getattr(found, "immutable_storage_with_versioning_enabled", False):
            return LockSupport(
                f"the container {self._container} has no version-level immutability support "
                "(`az storage container-rm create --enable-vlw`)"
            )
        return LockSupport("")

    def now_ns(self) -> int:
        dates: list[str] = []

        def note(answer: Any) -> None:
            dates.append(answer.http_response.headers.get("Date", ""))

        self._ask(
            f"look at the container {self._container}",
            lambda: self._client.get_container_properties(raw_response_hook=note),
        )
        try:
            return int(parsedate_to_datetime(dates[-1]).timestamp()) * _NANOSECONDS
        except (TypeError, ValueError, IndexError) as error:
            raise FailedError(f"{self._container} does not tell the time in its answers") from error

    def retain(self, key: str, retention: Retention, version: str = "") -> Retained:
        from azure.storage.blob import ImmutabilityPolicy

        seen = self._look_up(key, version)
        found, version = _retention_in(seen), version or str(seen.version_id or "")
        if satisfies(found, retention):
            return Retained(key, version, found)
        wanted = stricter(found, retention, key)
        seconds = whole_seconds(wanted.until_ns)
        policy = ImmutabilityPolicy(expiry_time=datetime.fromtimestamp(seconds, UTC), policy_mode=_NAMES[wanted.mode])
        blob = self._blob(key)
        chosen = {"version_id": version} if version else {}
        self._ask(f"lock {key}", lambda: blob.set_immutability_policy(policy, **chosen), key)
        return Retained(key, version, Retention(wanted.mode, seconds * _NANOSECONDS))

    def retention_of(self, key: str, version: str = "") -> Retention | None:
        return _retention_in(self._look_up(key, version))

    def legal_hold(self, key: str, on: bool, version: str = "") -> None:
        chosen = {"version_id": version} if version else {}
        self._ask(f"{'hold' if on else 'release'} {key}", lambda: self._blob(key).set_legal_hold(on, **chosen), key)

    def versions(self, prefix: str) -> Iterator[Version]:
        found: list[Version] = []

        def read() -> None:
            for blob in self._client.list_blobs(self._prefix + prefix, include=["versions", "deletedwithversions"]):
                key = str(blob.name)[len(self._prefix) :]
                if is_key(key):
                    version = str(blob.version_id or "")
                    current = bool(blob.is_current_version)
                    found.append(Version(key, version, int(blob.size or 0), _to_ns(blob.last_modified), current))

        self._ask(f"list the versions of {prefix!r}", read)
        found.sort(key=lambda one: one.version, reverse=True)  # they are times, to 100 ns
        found.sort(key=lambda one: (one.key, not one.is_current))
        yield from _with_markers(found, self.now_ns())

    def read_version(self, key: str, version: str, span: tuple[int, int] | None = None) -> bytes:
        part = {"offset": span[0], "length": span[1]} if span is not None else {}

        def read() -> bytes:
            content: bytes = self._blob(key).download_blob(version_id=version, **part).readall()
            return content

        return self._ask(f"read an older version of {key}", read, key)

    def restore_version(self, version: Version) -> None:
        blob = self._blob(version.key)
        source = f"{blob.url}{'&' if '?' in blob.url else '?'}versionid={version.version}"
        what = f"restore {version.key}"
        status = self._ask(what, lambda: blob.start_copy_from_url(source), version.key).get("copy_status")
        for _ in range(_COPY_POLLS):
            if status == "success":
                return
            SYSTEM_CLOCK.sleep(_COPY_POLL_SECONDS)
            status = self._ask(what, blob.get_blob_properties, version.key).copy.status
        raise StoreUnreachableError(f"cannot {what}: the copy is {status} still", object_name=version.key)

    def _blob(self, key: str) -> Any:
        return self._client.get_blob_client(self._prefix + key)

    def _look_up(self, key: str, version: str) -> Any:
        chosen = {"version_id": version} if version else {}
        return self._ask(f"look up {key}", lambda: self._blob(key).get_blob_properties(**chosen), key)

    def _ask(self, what: str, request: Callable[[], T], key: str = "") -> T:
        from azure.core.exceptions import AzureError

        try:
            return request()
        except AzureError as error:
            _raise(error, f"{what} in {self._container}", key)


def _container_client(container: str, options: Mapping[str, str]) -> Any:
    try:
        from azure.storage.blob import ContainerClient
    except ImportError as error:
        raise MissingExtraError(
            "locks on Azure need azure-storage-blob, which is not installed", hint="pip install 'holdfast[azure]'"
        ) from error
    account = options.get("account_name") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    endpoint = options.get("endpoint") or os.environ.get("AZURE_STORAGE_ENDPOINT", "")
    if not endpoint and not account:
        raise UsageError("the account is not known", hint="set account_name or AZURE_STORAGE_ACCOUNT_NAME")
    tls: dict[str, Any] = {}
    if options.get("root_certificate"):
        tls["connection_verify"] = options["root_certificate"]
    return ContainerClient(
        endpoint or f"https://{account}.blob.core.windows.net",
        container,
        credential=_credential(account, options),
        connection_timeout=5,
        read_timeout=30,
        retry_total=4,
        **tls,
    )


def _credential(account: str, options: Mapping[str, str]) -> Any:
    """An account key or a SAS from the environment, as obstore takes them; else azure-identity, if it is installed."""
    key = os.environ.get("AZURE_STORAGE_ACCOUNT_KEY") or os.environ.get("AZURE_STORAGE_ACCESS_KEY")
    if options.get("skip_signature", "").lower() in ("1", "true"):
        return None
    if key:
        return {"account_name": account, "account_key": key}
    sas = os.environ.get("AZURE_STORAGE_SAS_TOKEN") or os.environ.get("AZURE_STORAGE_SAS_KEY")
    if sas:
        from azure.core.credentials import AzureSasCredential

        return AzureSasCredential(sas)
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError as error:
        raise PermissionDeniedError(
            "no credentials for Azure were found",
            hint="set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or install azure-identity",
        ) from error
    return DefaultAzureCredential()


def _with_markers(versions: list[Version], now_ns: int) -> Iterator[Version]:
    """Azure keeps no delete markers: of a blob without a current version it is not told when it was deleted.

    So one is put before its versions, of now: whoever goes back finds the blob, also one that was deleted in order.
    """
    key = ""
    for version in versions:
        if version.key != key and not version.is_current:
            yield Version(version.key, "", 0, now_ns, is_current=True, is_marker=True)
        key = version.key
        yield version


def _retention_in(properties: Any) -> Retention | None:
    policy = getattr(properties, "immutability_policy", None)
    mode = _MODES.get(str(getattr(policy, "policy_mode", None) or "").lower())
    until = getattr(policy, "expiry_time", None)
    return Retention(mode, _to_ns(until)) if mode is not None and until is not None else None


def _to_ns(moment: datetime) -> int:
    return int(moment.timestamp()) * _NANOSECONDS + moment.microsecond * 1000


def _raise(error: Exception, what: str, key: str) -> NoReturn:
    status = getattr(error, "status_code", None)
    code = str(getattr(error, "error_code", "") or "")[:60]
    message = f"cannot {what}: the store answered {status} {code}".rstrip()
    if code == "ContainerNotFound":
        raise NotFoundError(message, hint="look at the container's name, the account and the endpoint") from error
    if status == 404:
        raise ObjectNotFoundError(f"cannot {what}: it is not there", object_name=key) from error
    if status in (401, 403) or code == "BlobImmutableDueToPolicy":
        hint = "the credentials may not do that, or a lock forbids it; see docs/immutability.md for what is needed"
        raise PermissionDeniedError(message, hint=hint, object_name=key) from error
    if status is None or status in (408, 429) or (status >= 500 and status != 501):
        raise StoreUnreachableError(
            f"cannot {what}: no answer that helps ({code or type(error).__name__})", object_name=key
        ) from error
    raise FailedError(message, hint="does the container have version-level immutability?", object_name=key) from error
