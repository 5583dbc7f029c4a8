"""The double of Google Cloud Storage keeps to the published behaviour, or what is tested on it means nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import pytest

from holdfast.clock import ManualClock
from holdfast.testing.gcs_bucket import Answer, Bucket, Request

PART = 5 << 20


@pytest.fixture
def bucket() -> Bucket:
    return Bucket(ManualClock(now_ns=1_700_000_000_000_000_000))


def ask(bucket: Bucket, method: str, name: str, body: bytes = b"", query: str = "", **headers: str) -> Answer:
    pairs = dict(part.partition("=")[::2] for part in query.split("&") if part)
    return bucket.answer(Request(method, name, pairs, {k.replace("_", "-"): v for k, v in headers.items()}, body))


def code(answer: Answer) -> str | None:
    return ElementTree.fromstring(answer.body).findtext("Code")


def test_an_object_has_an_etag_a_generation_and_a_time(bucket: Bucket) -> None:
    put = ask(bucket, "PUT", "a", b"content")
    got = ask(bucket, "GET", "a")
    assert (put.status, got.status, got.body) == (200, 200, b"content")
    assert put.headers["ETag"] == got.headers["ETag"] == '"9a0364b9e99bb480dd25e1f0284c8555"'
    assert put.headers["x-goog-generation"] == got.headers["x-goog-generation"]
    assert got.headers["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert ask(bucket, "HEAD", "a").headers["Content-Length"] == "7"


def test_each_write_has_a_larger_generation(bucket: Bucket) -> None:
    generations = [int(ask(bucket, "PUT", name, b"x").headers["x-goog-generation"]) for name in "aba"]
    assert generations == sorted(set(generations))


def test_generation_zero_means_only_if_absent(bucket: Bucket) -> None:
    assert ask(bucket, "PUT", "a", b"first", x_goog_if_generation_match="0").status == 200
    refused = ask(bucket, "PUT", "a", b"second", x_goog_if_generation_match="0")
    assert (refused.status, code(refused)) == (412, "PreconditionFailed")
    assert ask(bucket, "GET", "a").body == b"first"


def test_a_generation_must_match_to_replace_or_delete(bucket: Bucket) -> None:
    generation = ask(bucket, "PUT", "a", b"first").headers["x-goog-generation"]
    assert ask(bucket, "PUT", "a", b"second", x_goog_if_generation_match="1").status == 412
    assert ask(bucket, "DELETE", "a", x_goog_if_generation_match="1").status == 412
    assert ask(bucket, "PUT", "a", b"second", x_goog_if_generation_match=generation).status == 200
    assert ask(bucket, "DELETE", "a", x_goog_if_generation_match=generation).status == 412
    assert ask(bucket, "GET", "a").body == b"second"
    assert ask(bucket, "PUT", "b", b"x", x_goog_if_generation_match=generation).status == 412


def test_of_many_creators_one_wins(bucket: Bucket) -> None:
    def create(number: int) -> int:
        return ask(bucket, "PUT", "a", str(number).encode(), x_goog_if_generation_match="0").status

    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(create, range(64))) == [200] + [412] * 63


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_what_is_absent_is_no_such_key(bucket: Bucket, method: str) -> None:
    answer = ask(bucket, method, "a")
    assert (answer.status, code(answer)) == (404, "NoSuchKey")


@pytest.mark.parametrize(
    ("wanted", "content", "said"),
    [("bytes=2-3", b"nt", "bytes 2-3/7"), ("bytes=5-100", b"nt", "bytes 5-6/7"), ("bytes=4-", b"ent", "bytes 4-6/7")],
)
def test_ranges(bucket: Bucket, wanted: str, content: bytes, said: str) -> None:
    ask(bucket, "PUT", "a", b"content")
    answer = ask(bucket, "GET", "a", range=wanted)
    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (206, content, said)


@pytest.mark.parametrize(("content", "wanted"), [(b"content", "bytes=7-9"), (b"", "bytes=0-0")])
def test_a_range_behind_the_end_cannot_be_satisfied(bucket: Bucket, content: bytes, wanted: str) -> None:
    ask(bucket, "PUT", "a", content)
    answer = ask(bucket, "GET", "a", range=wanted)
    assert (answer.status, code(answer)) == (416, "InvalidRange")


def test_a_listing_comes_in_pages_of_a_thousand(bucket: Bucket) -> None:
    for number in range(2100):
        ask(bucket, "PUT", f"many/{number:04d}", b"x")
    ask(bucket, "PUT", "other", b"x")
    names: list[str | None] = []
    token, pages = "", 0
    while True:
        query = "list-type=2&prefix=many/" + (f"&continuation-token={token}" if token else "")
        page = ElementTree.fromstring(ask(bucket, "GET", "", query=query).body)
        names += [each.findtext("Key") for each in page.iter("Contents")]
        pages += 1
        if page.findtext("IsTruncated") == "false":
            break
        token = page.findtext("NextContinuationToken") or ""
    assert (pages, names) == (3, [f"many/{number:04d}" for number in range(2100)])


def begin(bucket: Bucket) -> str:
    answer = ask(bucket, "POST", "a", query="uploads=")
    return ElementTree.fromstring(answer.body).findtext("UploadId") or ""


def complete(bucket: Bucket, upload: str, *parts: tuple[int, str]) -> Answer:
    lines = (f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
    body = f"<CompleteMultipartUpload>{''.join(lines)}</CompleteMultipartUpload>".encode()
    return ask(bucket, "POST", "a", body, query=f"uploadId={upload}")


def test_parts_become_an_object_when_they_are_completed(bucket: Bucket) -> None:
    upload = begin(bucket)
    second = ask(bucket, "PUT", "a", b"end", query=f"uploadId={upload}&partNumber=2").headers["ETag"]
    first = ask(bucket, "PUT", "a", bytes(PART), query=f"uploadId={upload}&partNumber=1").headers["ETag"]
    assert ask(bucket, "GET", "a").status == 404
    assert complete(bucket, upload, (1, first), (2, second)).status == 200
    assert ask(bucket, "GET", "a").body == bytes(PART) + b"end"
    assert complete(bucket, upload, (1, first)).status == 404


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(1, "right"), (2, "wrong")], "InvalidPart"),
        ([(1, "right"), (3, "right")], "InvalidPart"),
        ([(2, "right"), (1, "right")], "InvalidPartOrder"),
        ([], "InvalidPartOrder"),
        ([(2, "right"), (4, "right")], "EntityTooSmall"),
    ],
)
def test_parts_that_do_not_fit_are_refused(bucket: Bucket, parts: list[tuple[int, str]], expected: str) -> None:
    upload = begin(bucket)
    contents = {1: bytes(PART), 2: b"end", 4: b"more"}
    etags = {
        number: ask(bucket, "PUT", "a", content, query=f"uploadId={upload}&partNumber={number}").headers["ETag"]
        for number, content in contents.items()
    }
    named = [(number, etags.get(number, '"none"') if word == "right" else '"wrong"') for number, word in parts]
    answer = complete(bucket, upload, *named)
    assert (answer.status, code(answer)) == (400, expected)
    assert ask(bucket, "GET", "a").status == 404


def test_an_aborted_upload_is_gone(bucket: Bucket) -> None:
    upload = begin(bucket)
    assert ask(bucket, "DELETE", "a", query=f"uploadId={upload}").status == 204
    answer = ask(bucket, "PUT", "a", b"x", query=f"uploadId={upload}&partNumber=1")
    assert (answer.status, code(answer)) == (404, "NoSuchUpload")
