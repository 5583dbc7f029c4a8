"""Archived blobs of Azure, through azure-storage-blob (the extra `azure`).

Source: Microsoft, "Blob rehydration from the archive tier" and "Set Blob Tier". A blob that was asked for goes to the
hot tier, and stays there until a rule of the account moves it again: `days` does not end that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

from holdfast.errors import (
    FailedError,
    MissingExtraError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StoreUnreachableError,
    UsageError,
)
from holdfast.stores.archives.port import Archived, Speed, Standing
from holdfast.stores.keys import is_key

__all__ = ["AzureArchives"]

_PRIORITIES = {Speed.STANDARD: "Standard", Speed.BULK: "Standard", Speed.EXPEDITED: "High"}
_KEYS = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY")
_TOKENS = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")

T = TypeVar("T")


class AzureArchives:
    """The archived blobs of `az://container/prefix`. `options` and `credentials` are those of `open_store`."""

    def __init__(self, container: str, prefix: str, options: Mapping[str, str], credentials: Mapping[str, str]) -> None:
        self._container = container
        self._prefix = f"{prefix}/" if prefix else ""
        self._client: Any = _container_client(container, options, credentials)

    def archived(self, prefix: str) -> Iterator[Archived]:
        found: list[Archived] = []

        def read() -> None:
            for blob in self._client.list_blobs(name_starts_with=self._prefix + prefix):
                key, status = str(blob.name)[len(self._prefix) :], str(blob.archive_status or "")
                if str(blob.blob_tier or "") == "Archive" and is_key(key):
                    standing = Standing.ASKED if status.startswith("rehydrate-pending") else Standing.ARCHIVED
                    found.append(Archived(key, int(blob.size or 0), "Archive", standing))

        self._ask(f"list {prefix!r} in {self._container}", read)
        yield from sorted(found, key=lambda one: one.key)

    def ask(self, key: str, days: int, speed: Speed) -> None:
        blob = self._client.get_blob_client(self._prefix + key)

        def request() -> None:
            blob.set_standard_blob_tier("Hot", rehydrate_priority=_PRIORITIES[speed])

        try:
            self._ask(f"ask for {key} in {self._container}", request, key)
        except FailedError as error:
            if "BlobBeingRehydrated" not in error.message:
                raise

    def _ask(self, what: str, request: Callable[[], T], key: str = "") -> T:
        from azure.core.exceptions import AzureError

        try:
            return request()
        except AzureError as error:
            _raise(error, what, key)


def _raise(error: Any, what: str, key: str) -> NoReturn:
    status = getattr(error, "status_code", None)
    code = str(getattr(error, "error_code", "") or "")[:60]
    if status is None:
        raise StoreUnreachableError(f"cannot {what}: no answer ({type(error).__name__})", object_name=key) from error
    message = f"cannot {what}: the store answered {status} {code}".rstrip()
    if status == 404:
        raise ObjectNotFoundError(f"cannot {what}: it is not there", object_name=key) from error
    if status in (401, 403):
        raise PermissionDeniedError(message, hint="the credentials may not do that", object_name=key) from error
    if status in (408, 429) or status >= 500:
        raise StoreUnreachableError(message, object_name=key) from error
    raise FailedError(message, object_name=key) from error


def _container_client(container: str, options: Mapping[str, str], credentials: Mapping[str, str]) -> Any:
    try:
        from azure.storage.blob import ContainerClient
    except ImportError as error:
        raise MissingExtraError(
            "asking for archived blobs needs azure-storage-blob, which is not installed",
            hint="pip install 'holdfast[azure]'",
        ) from error
    account = options.get("account_name") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    endpoint = options.get("endpoint") or os.environ.get("AZURE_STORAGE_ENDPOINT", "")
    if not endpoint and not account:
        raise UsageError("the account is not known", hint="set account_name or AZURE_STORAGE_ACCOUNT_NAME")
    tls: dict[str, Any] = {"connection_verify": options["root_certificate"]} if "root_certificate" in options else {}
    return ContainerClient(
        endpoint or f"https://{account}.blob.core.windows.net",
        container,
        credential=_credential(account, options, credentials),
        connection_timeout=5,
        read_timeout=30,
        retry_total=4,
        **tls,
    )


def _credential(account: str, options: Mapping[str, str], credentials: Mapping[str, str]) -> Any:
    """An account key or a SAS, those of the store before the environment's; else azure-identity, if it is there."""
    key = credentials.get("account_key") or credentials.get("access_key") or _first_of(_KEYS)
    sas = credentials.get("sas_token") or credentials.get("sas_key") or _first_of(_TOKENS)
    if options.get("skip_signature", "").lower() in ("1", "true"):
        return None
    if key:
        return {"account_name": account, "account_key": key}
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


def _first_of(variables: tuple[str, ...]) -> str:
    return next(filter(None, map(os.environ.get, variables)), "") or ""
