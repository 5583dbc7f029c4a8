"""Codes of a cloud's answer that say more than its status."""

from __future__ import annotations

import pytest
from obstore import exceptions

from holdfast.errors import HoldfastError, PermissionDeniedError, StoreUnreachableError
from holdfast.stores.cloud_errors import translated


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status code: 400, body: <Error><Code>RequestTimeout</Code></Error>", StoreUnreachableError),
        ("status code: 400, body: <Error><Code>ExpiredToken</Code></Error>", PermissionDeniedError),
        ("status code: 400, body: <Error><Code>TokenRefreshRequired</Code></Error>", PermissionDeniedError),
        ("kind: Timeout, url: http://169.254.169.254/latest/api/token", StoreUnreachableError),
        ("kind: Connect, url: http://169.254.169.254/latest/api/token", PermissionDeniedError),
    ],
)
def test_what_an_answer_means(text: str, expected: type[HoldfastError]) -> None:
    error = translated(exceptions.GenericError(f"Generic S3 error: {text}"), "read a", "a")
    assert type(error) is expected and error.retry is (expected is StoreUnreachableError)
    assert error.object_name == "a"
