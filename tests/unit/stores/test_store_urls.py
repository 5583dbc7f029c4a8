"""Which store a URL means, and that opening one refuses what looking at it refuses."""

from __future__ import annotations

import pytest

from holdfast.errors import UsageError
from holdfast.stores.opening import open_store
from holdfast.stores.urls import FOLDER, MEMORY, StoreUrl, parse_store_url


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("/a/folder", StoreUrl(FOLDER, "/a/folder")),
        ("./here", StoreUrl(FOLDER, "./here")),
        ("file:///a/b%20c", StoreUrl(FOLDER, "/a/b c")),
        ("file://localhost/a", StoreUrl(FOLDER, "/a")),
        ("memory://name", StoreUrl(MEMORY, "name")),
        ("s3://bucket", StoreUrl("s3", "bucket")),
        ("S3://bucket/a/b/", StoreUrl("s3", "bucket", "a/b")),
        ("gs://bucket/a", StoreUrl("gs", "bucket", "a")),
        ("az://container/a", StoreUrl("az", "container", "a")),
    ],
)
def test_a_url_names_a_store(url: str, found: StoreUrl) -> None:
    assert parse_store_url(url) == found


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3:bucket",
        "file:/a",
        "file://host/a",
        "file://localhost",
        "ftp://host/a",
        "s3://",
        "s3://b",
        "s3://bucket//a",
        "s3://bucket/a/../b",
        "gs://user:hunter2@bucket/a",
        "gs://bucket:8080/a",
        "az://container/a?sig=hunter2",
        "az://container/a#hunter2",
        "memory://",
        "memory://a/b",
        "/a\0b",
    ],
)
def test_what_names_no_store_is_refused_here_and_when_it_is_opened(url: str) -> None:
    with pytest.raises(UsageError) as looked:
        parse_store_url(url)
    with pytest.raises(UsageError) as opened:
        open_store(url)
    assert (looked.value.message, looked.value.hint) == (opened.value.message, opened.value.hint)
    assert "hunter2" not in looked.value.message + looked.value.hint
