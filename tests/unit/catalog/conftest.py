"""A PostgreSQL for the tests of the catalog, started by the first that needs it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from holdfast.testing.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        before = os.environ.get("PGPASSFILE")
        os.environ |= server.environment
        yield server
        os.environ.pop("PGPASSFILE")
        if before is not None:
            os.environ["PGPASSFILE"] = before
