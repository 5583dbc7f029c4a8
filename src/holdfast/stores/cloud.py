"""Object stores of the clouds, through obstore: S3 and its kin, Google Cloud Storage, Azure Blob Storage."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, cast

from obstore.store import AzureStore, GCSStore, S3Store

from holdfast.errors import (
    AlreadyExistsError,
    ConflictError,
    DamageError,
    FailedError,
    NotFoundError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StorageFullError,
)
from holdfast.stores.archives.opening import archives_at
from holdfast.stores.buffers import as_views, check_create_size
from holdfast.stores.cloud_errors import RAISED_BY_OBSTORE, misconfigured, translated
from holdfast.stores.cloud_options import CloudSettings, cloud_identity, for_sending, sort_options, with_credentials
from holdfast.stores.keys import check_key, is_key
from holdfast.stores.offsets import safe_offset
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo
from holdfast.stores.ranges import check_ranges, ended_early, merged

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import AzureConfig, ClientConfig, GCSConfig, RetryConfig, S3Config

    from holdfast.stores.archives.port import Archives

__all__ = ["CloudStore", "connect"]

_PART_BYTES = 8 << 20  # of a multipart upload; at most 10,000 parts, so objects up to 78 GiB
_PARALLEL_PARTS = 8
_SMALL_BYTES = 64 << 10  # sent within seconds even beside packs that fill a slow line
_GAP_BYTES = 256 << 10  # ranges closer than this are fetched by one request
_EPOCH = datetime.fromtimestamp(0, UTC)

_Backend = S3Store | GCSStore | AzureStore

# Each page of a listing and each part of an upload is tried again by itself. A conditional put never is, or it would
# meet its own first attempt and be told that the name is taken.
_REPEATING: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=30)}
_ONCE: RetryConfig = {"max_retries": 0, "retry_timeout": timedelta(seconds=30)}


def connect(
    scheme: str,
    container: str,
    prefix: str,
    options: Mapping[str, str],
    credentials: Mapping[str, str] | None = None,
    *,
    route: Callable[[CloudSettings], CloudSettings] | None = None,
) -> CloudStore:
    """The store `scheme://container/prefix`; nothing is sent yet. Raises UsageError for options that make no sense.

    `route` changes the way that leads there, and nothing of what the store is: its identity stays.
    """
    settings = with_credentials(scheme, sort_options(scheme, options), credentials or {})
    if route is not None:
        settings = route(settings)
    url = f"{scheme}://{container}/{prefix}".rstrip("/")
    patient = None if "read_timeout" in options else for_sending(settings)
    try:
        # All at once: what they take from the environment is what it is now.
        repeating, once = (_backend(scheme, container, prefix, settings, retry) for retry in (_REPEATING, _ONCE))
        sending = (repeating, once)
        if patient is not None:
            sending = (
                _backend(scheme, container, prefix, patient, _REPEATING),
                _backend(scheme, container, prefix, patient, _ONCE),
            )
    except RAISED_BY_OBSTORE as error:
        raise misconfigured(error, url) from error
    # Listing from the midst: Azure's is not native everywhere (OneLake answers it with nothing), and S3 Express, whose
    # buckets are called like that, keeps no order.
    skips = scheme in ("s3", "gs") and not container.endswith("--x-s3") and "s3_express" not in options
    identity = cloud_identity(scheme, url, options, os.environ)
    found = CloudStore(url, repeating=repeating, once=once, sending=sending, skips=skips, identity=identity)
    found.make_archives = partial(archives_at, scheme, container, prefix, dict(options), dict(credentials or {}))
    return found


def _backend(scheme: str, container: str, prefix: str, settings: CloudSettings, retry: RetryConfig) -> _Backend:
    client = cast("ClientConfig", settings.client)
    where = prefix or None
    if scheme == "s3":
        s3 = cast("S3Config", settings.store)
        return S3Store(container, prefix=where, config=s3, client_options=client, retry_config=retry)
    if scheme == "gs":
        gs = cast("GCSConfig", settings.store)
        return GCSStore(container, prefix=where, config=gs, client_options=client, retry_config=retry)
    az = cast("AzureConfig", settings.store)
    return AzureStore(container, prefix=where, config=az, client_options=client, retry_config=retry)


class CloudStore:
    """One bucket or container, or what lies under a prefix in it.

    After each write the object is asked for with a HEAD request: `modified_ns` comes from the store's clock, and the
    size that arrived is compared. `repeating` and `once` are the same store, with and without obstore's own retries;
    `sending` are those two with more patience, for large bodies; `skips`: its listings can begin in the midst;
    `identity`: see `store_identity`, by default the URL.
    """

    def __init__(
        self,
        url: str,
        *,
        repeating: _Backend,
        once: _Backend,
        sending: tuple[_Backend, _Backend] | None = None,
        skips: bool = False,
        identity: str = "",
    ) -> None:
        self._url = url
        self._identity = identity or url
        self._store = repeating
        self._once = once
        self._sending = sending or (repeating, once)
        self._skips = skips

    @property
    def url(self) -> str:
        return self._url

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(durable=True, remote=True)

    make_archives: Callable[[], Archives | None] | None = None  # it loads a provider's SDK

    @cached_property
    def archives(self) -> Archives | None:
        """Raises MissingExtraError, UsageError."""
        return None if self.make_archives is None else self.make_archives()

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        check_key(key)
        views = as_views(data)
        size = sum(view.nbytes for view in views)
        try:
            with self._writing(key):
                store = self._store if size <= _SMALL_BYTES else self._sending[0]
                store.put(
                    key,
                    _content(views),
                    use_multipart=size > _PART_BYTES,
                    chunk_size=_PART_BYTES,
                    max_concurrency=_PARALLEL_PARTS,
                )
        except AlreadyExistsError as error:  # that is how a 409 looks here: two writers of the same bytes
            raise ConflictError(f"somebody else is writing or deleting {key} just now", object_name=key) from error
        return self._written(key, size)

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        check_key(key)
        views = as_views(data)
        size = check_create_size(key, views)
        try:
            with self._writing(key):
                store = self._once if size <= _SMALL_BYTES else self._sending[1]
                store.put(key, _content(views), mode="create", use_multipart=False)
        except AlreadyExistsError:
            self._confirm_taken(key)
            raise
        return self._written(key, size)

    def get(self, key: str) -> bytes:
        check_key(key)
        with _translated_errors(f"read {key} in {self._url}", key):
            return self._store.get(key).bytes().to_bytes()

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        check_key(key)
        check_ranges(key, ranges)
        wanted = [each for each in ranges if each[1]]
        if len(wanted) < len(ranges) or not ranges:
            self._check_ends(key, ranges)  # no HTTP request can ask for nothing
        try:
            spans = _fetch(self._store, self._url, key, merged(wanted, _GAP_BYTES))
        except FailedError as error:
            if not isinstance(error, StorageFullError):
                self._check_ends(key, ranges)  # Azurite answers nonsense when asked for a part of nothing
            raise
        return [_cut(key, spans, start, length) for start, length in ranges]

    def head(self, key: str) -> ObjectInfo:
        check_key(key)
        with _translated_errors(f"look up {key} in {self._url}", key):
            return _info(self._store.head(key))

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        # obstore lists by folder only. Sorted here: SeaweedFS puts `a/b/c` before `a/b.d`, S3 Express has no order.
        folder, slash, _ = prefix.rpartition("/")
        if slash and not is_key(folder):
            return  # no key begins like that
        offset = safe_offset(folder + slash, after) if self._skips else None
        with _translated_errors(f"list {prefix!r} in {self._url}", prefix):
            found = [
                _info(each)
                for page in self._store.list(folder or None, offset=offset, chunk_size=1000)
                for each in page
                if each["path"].startswith(prefix) and each["path"] > after and is_key(each["path"])
            ]
        yield from sorted(found)

    def folders(self, prefix: str) -> Sequence[str]:
        if prefix and not (prefix.endswith("/") and is_key(prefix[:-1])):
            return []
        with _translated_errors(f"list the folders of {prefix!r} in {self._url}", prefix):
            found = self._store.list_with_delimiter(prefix[:-1] or None)["common_prefixes"]
        return sorted(f"{each.rstrip('/')}/" for each in found if is_key(each.rstrip("/")))

    def delete(self, key: str) -> None:
        check_key(key)
        try:
            with _translated_errors(f"delete {key} in {self._url}", key):
                self._store.delete(key)
        except ObjectNotFoundError:
            return

    def _check_ends(self, key: str, ranges: Sequence[tuple[int, int]]) -> None:
        size = self.head(key).size
        for start, length in ranges:
            if start + length > size:
                raise ended_early(key, size, start, length)

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        try:
            with _translated_errors(f"write {key} in {self._url}", key):
                yield
        except ObjectNotFoundError as error:
            raise NotFoundError(
                f"cannot write {key}: there is no bucket or container for {self._url}",
                hint="create it with the cloud's own tools, and look at region, endpoint and account",
                object_name=key,
            ) from error

    def _written(self, key: str, size: int) -> ObjectInfo:
        try:
            found = self.head(key)
        except ObjectNotFoundError as error:
            raise ConflictError(f"{key} was deleted while it was written", object_name=key) from error
        if found.size != size:
            raise DamageError(f"{key} was written with {size} bytes and has {found.size}", object_name=key)
        return found

    def _confirm_taken(self, key: str) -> None:
        """S3 may also answer 409 when two conditional puts or a delete overlap, and then nothing need be there yet."""
        try:
            self.head(key)
        except ObjectNotFoundError as error:
            raise ConflictError(f"somebody else is writing or deleting {key} just now", object_name=key) from error
        except PermissionDeniedError:
            return  # may write but not read: take the store's first answer


def _fetch(store: _Backend, url: str, key: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, memoryview]]:
    """Start and content of each (start, length); shorter where the object ends. Spans must not touch each other.

    obstore could merge ranges by itself, but panics when an object ends before a range that it merged begins.
    """
    if not spans:
        return []
    starts, lengths = [start for start, _ in spans], [length for _, length in spans]
    with _translated_errors(f"read {key} in {url}", key):
        found = store.get_ranges(key, starts=starts, lengths=lengths, coalesce=0)
    return [(start, memoryview(piece)) for start, piece in zip(starts, found, strict=True)]


def _cut(key: str, spans: Sequence[tuple[int, memoryview]], start: int, length: int) -> bytes:
    if not length:
        return b""
    first, content = spans[bisect_right(spans, start, key=lambda span: span[0]) - 1]
    piece = content[start - first : start - first + length]
    if len(piece) != length:
        raise ended_early(key, None, start, length)
    return bytes(piece)


@contextmanager
def _translated_errors(what: str, object_name: str) -> Iterator[None]:
    try:
        yield
    except RAISED_BY_OBSTORE as error:
        raise translated(error, what, object_name) from error


def _content(views: Sequence[memoryview]) -> memoryview | bytes | Iterable[memoryview]:
    if not views:
        return b""
    return views[0] if len(views) == 1 else views


def _info(meta: ObjectMeta) -> ObjectInfo:
    since = meta["last_modified"] - _EPOCH
    modified_ns = (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
    return ObjectInfo(meta["path"], meta["size"], modified_ns)
