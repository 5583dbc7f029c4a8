"""What CloudStore makes of trouble: real servers that refuse, vanish or lack the bucket; a double that misbehaves."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from holdfast.errors import (
    AlreadyExistsError,
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
from holdfast.stores.cloud import CloudStore, connect
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.testing.endpoints import Endpoint
from holdfast.testing.gcs_bucket import Answer, Request, error_answer
from holdfast.testing.gcs_double import GcsDouble, Interference
from holdfast.testing.servers import AzuriteServer, SeaweedServer, Server

CALLS: dict[str, Callable[[Store], object]] = {
    "put": lambda store: store.put("name", b"content"),
    "create": lambda store: store.create("name", b"content"),
    "get": lambda store: store.get("name"),
    "get_ranges": lambda store: store.get_ranges("name", [(0, 3), (5, 1)]),
    "head": lambda store: store.head("name"),
    "list": lambda store: list(store.list("")),
    "delete": lambda store: store.delete("name"),
}


def once(endpoint: Endpoint, *, container: str | None = None, **more: str) -> CloudStore:
    """The bare adapter, without our retries."""
    scheme, _, ours = endpoint.url.partition("://")
    with endpoint.in_environment():
        return connect(scheme, container or ours, secrets.token_hex(4), {**endpoint.options, **more})


# ---- real servers ----


@pytest.fixture(params=["seaweed", "azurite"])
def server(request: pytest.FixtureRequest) -> Server:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Server)
    return found


@pytest.mark.servers
@pytest.mark.parametrize("verb", CALLS)
def test_wrong_credentials_are_no_permission(server: Server, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    with server.in_environment():
        for name in server.environment:
            monkeypatch.setenv(name, "d3Jvbmc=")
        store = open_store(server.url, options=server.options)
    with pytest.raises(PermissionDeniedError) as caught:
        CALLS[verb](store)
    assert "credentials" in caught.value.hint
    assert "d3Jvbmc=" not in str(caught.value)


@pytest.mark.servers
@pytest.mark.parametrize("verb", ["put", "create", "get", "get_ranges", "list"])
def test_a_bucket_that_does_not_exist_is_named(server: Server, verb: str) -> None:
    with pytest.raises(NotFoundError, match="bucket or container") as caught:
        CALLS[verb](once(server, container="no-such-bucket"))
    assert not isinstance(caught.value, ObjectNotFoundError)
    assert caught.value.hint


@pytest.mark.servers
@pytest.mark.parametrize("kind", [SeaweedServer, AzuriteServer])
def test_a_server_that_vanishes_is_unreachable_until_it_is_back(
    kind: type[Server], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with kind(tmp_path_factory.mktemp("vanishing") / "data") as server:
        with server.in_environment():
            store = open_store(server.url, options=server.options)
        bare = once(server)
        store.put("before", b"content")
        if kind is SeaweedServer:
            server.kill()
        else:
            server.stop()  # Azurite forgets what it was told last when it is killed
        for verb in ("create", "get", "list"):
            with pytest.raises(StoreUnreachableError) as caught:
                CALLS[verb](bare)
            assert caught.value.retry
        server.restart()
        assert store.get("before") == b"content"
        store.create("after", b"content")


# ---- nobody there, nobody known ----


def test_without_any_credentials_the_hint_names_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    options = {"metadata_endpoint": "http://127.0.0.1:9", "region": "us-east-1"}
    with pytest.raises(PermissionDeniedError, match="no credentials") as caught:
        connect("s3", "bucket", "", options).get("name")
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint


@pytest.mark.parametrize("verb", CALLS)
def test_a_port_without_a_server_is_unreachable(verb: str) -> None:
    with GcsDouble() as double:
        store = once(double)
    with pytest.raises(StoreUnreachableError, match="connect"):
        CALLS[verb](store)


# ---- a service that misbehaves ----


@pytest.fixture
def double() -> Iterator[GcsDouble]:
    with GcsDouble() as running:
        yield running


def always(status: int, code: str) -> Interference:
    return lambda request, proceed: error_answer(status, code)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "InvalidArgument", FailedError),
        (401, "AuthenticationRequired", PermissionDeniedError),
        (403, "AccessDenied", PermissionDeniedError),
        (403, "RequestTimeTooSkewed", PermissionDeniedError),
        (403, "QuotaExceeded", StorageFullError),
        (404, "NoSuchBucket", NotFoundError),
        (408, "RequestTimeout", StoreUnreachableError),
        (429, "TooManyRequests", StoreUnreachableError),
        (500, "InternalError", StoreUnreachableError),
        (503, "SlowDown", StoreUnreachableError),
        (507, "InsufficientStorage", StorageFullError),
    ],
)
@pytest.mark.parametrize("verb", ["create", "get", "list"])  # obstore reports each of these in its own way
def test_what_a_status_means(
    double: GcsDouble, verb: str, status: int, code: str, expected: type[HoldfastError]
) -> None:
    store = once(double)
    double.interfere(always(status, code))
    with pytest.raises(HoldfastError) as caught:
        CALLS[verb](store)
    assert type(caught.value) is expected
    assert len(str(caught.value)) < 300
    assert caught.value.__cause__ is not None


def test_a_listing_in_another_region_says_so(double: GcsDouble) -> None:
    store = once(double)
    double.interfere(always(301, "PermanentRedirect"))
    with pytest.raises(UsageError, match="region"):
        list(store.list(""))


def test_a_put_that_collides_may_be_tried_again(double: GcsDouble) -> None:
    store = once(double)
    double.interfere(always(409, "OperationAborted"))
    with pytest.raises(ConflictError) as caught:
        store.put("name", b"content")
    assert caught.value.retry


def test_a_conditional_put_is_sent_once(double: GcsDouble) -> None:
    store = once(double)
    seen: list[Request] = []

    def busy(request: Request, proceed: Callable[[], Answer]) -> Answer:
        seen.append(request)
        return error_answer(503, "SlowDown")

    double.interfere(busy)
    with pytest.raises(StoreUnreachableError):
        store.create("name", b"content")
    assert [request.method for request in seen] == ["PUT"]


@pytest.mark.parametrize("how", ["error afterwards", "connection lost afterwards"])
def test_a_create_whose_answer_was_lost_succeeds_with_retries(double: GcsDouble, how: str) -> None:
    notes: list[str] = []
    with double.in_environment():
        store = open_store(f"{double.url}/vault", options=double.options, note=notes.append)
    lost = 0

    def lose_first(request: Request, proceed: Callable[[], Answer]) -> Answer | None:
        nonlocal lost
        honest = proceed()
        if request.method == "PUT" and lost == 0:
            lost += 1
            return error_answer(500, "InternalError") if how.startswith("error") else None
        return honest

    double.interfere(lose_first)
    assert store.create("refs/1", b"content").size == 7
    assert lost == 1
    assert len(notes) == 2
    with pytest.raises(AlreadyExistsError):
        store.create("refs/1", b"content")


def test_a_name_that_is_refused_and_not_there_is_a_conflict(double: GcsDouble) -> None:
    store = once(double)
    double.interfere(
        lambda request, proceed: error_answer(412, "PreconditionFailed") if request.method == "PUT" else proceed()
    )
    with pytest.raises(ConflictError) as caught:
        store.create("name", b"content")
    assert not isinstance(caught.value, AlreadyExistsError)
    assert caught.value.retry


@pytest.mark.parametrize("verb", ["put", "create"])
def test_an_object_of_another_size_than_was_written_is_damage(double: GcsDouble, verb: str) -> None:
    def shrink(request: Request, proceed: Callable[[], Answer]) -> Answer:
        honest = proceed()
        return (
            honest._replace(headers={**honest.headers, "Content-Length": "3"}) if request.method == "HEAD" else honest
        )

    store = once(double)
    double.interfere(shrink)
    with pytest.raises(DamageError, match="7 bytes and has 3"):
        CALLS[verb](store)


@pytest.mark.parametrize("verb", ["get", "get_ranges"])
def test_an_answer_that_breaks_off_is_not_taken_for_the_object(double: GcsDouble, verb: str) -> None:
    store = once(double)
    store.put("name", b"content")
    calls = 0

    def break_off(request: Request, proceed: Callable[[], Answer]) -> Answer | None:
        nonlocal calls
        calls += 1
        honest = proceed()
        return honest._replace(
            headers={**honest.headers, "Content-Length": str(len(honest.body))}, body=honest.body[:1]
        )

    double.interfere(break_off)
    with pytest.raises(StoreUnreachableError):
        CALLS[verb](store)
    assert calls >= 1
    double.interfere(None)
    assert CALLS[verb](store) in (b"content", [b"con", b"n"])


def test_an_answer_that_breaks_off_once_is_continued(double: GcsDouble) -> None:
    store = once(double)
    store.put("name", b"content")
    calls = 0

    def break_off_once(request: Request, proceed: Callable[[], Answer]) -> Answer:
        nonlocal calls
        calls += 1
        honest = proceed()
        length = {"Content-Length": str(len(honest.body))}
        return honest._replace(headers={**honest.headers, **length}, body=honest.body[:4]) if calls == 1 else honest

    double.interfere(break_off_once)
    assert store.get("name") == b"content"
    assert calls == 2


def test_near_ranges_are_one_request_and_far_ones_several(double: GcsDouble) -> None:
    store = once(double)
    content = secrets.token_bytes(4 << 20)
    store.put("name", content)
    asked: list[str] = []

    def watch(request: Request, proceed: Callable[[], Answer]) -> Answer:
        asked.append(request.headers.get("range", ""))
        return proceed()

    double.interfere(watch)
    ranges = [(3_000_000, 10), (0, 100), (200, 50), (100, 100), (100_000, 1), (50, 75)]
    assert store.get_ranges("name", ranges) == [content[start : start + length] for start, length in ranges]
    assert sorted(asked) == ["bytes=0-100000", "bytes=3000000-3000009"]


def test_a_large_put_is_sent_in_parts_and_a_small_one_is_not(double: GcsDouble) -> None:
    store = once(double)
    seen: list[tuple[str, int]] = []

    def watch(request: Request, proceed: Callable[[], Answer]) -> Answer:
        if request.method != "HEAD":
            seen.append((request.method, len(request.body)))
        return proceed()

    double.interfere(watch)
    store.put("small", bytes(8 << 20))
    assert seen == [("PUT", 8 << 20)]
    seen.clear()
    store.put("large", [bytes(6 << 20), bytes(6 << 20), bytes(6 << 20)])
    assert sorted(size for method, size in seen if method == "PUT") == [2 << 20, 8 << 20, 8 << 20]


def test_a_part_that_fails_once_is_sent_again_without_starting_over(double: GcsDouble) -> None:
    store = once(double)
    content = secrets.token_bytes(20 << 20)
    failed: set[str] = set()
    begun = 0

    def stumble(request: Request, proceed: Callable[[], Answer]) -> Answer:
        nonlocal begun
        begun += "uploads" in request.query
        part = request.query.get("partNumber", "")
        if part == "2" and part not in failed:
            failed.add(part)
            return error_answer(503, "SlowDown")
        return proceed()

    double.interfere(stumble)
    store.put("large", content)
    assert (failed, begun) == ({"2"}, 1)
    assert store.get("large") == content


def test_foreign_objects_in_the_bucket_are_not_listed(double: GcsDouble) -> None:
    store = once(double)
    store.put("name", b"content")
    prefix = store.url.rpartition("/")[2]

    def add_foreign(request: Request, proceed: Callable[[], Answer]) -> Answer:
        honest = proceed()
        if request.name:
            return honest
        foreign = honest.body.replace(f"{prefix}/name".encode(), f"{prefix}/with space".encode())
        listed = foreign.partition(b"<Contents>")[2].rpartition(b"</Contents>")[0]
        both = honest.body.replace(b"<Contents>", b"<Contents>" + listed + b"</Contents><Contents>")
        return honest._replace(body=both)

    double.interfere(add_foreign)
    assert [info.key for info in store.list("")] == ["name"]
