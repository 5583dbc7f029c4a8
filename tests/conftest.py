"""A cache of its own for each test; servers for the contract, started by the first test that needs them: once in each
worker of pytest-xdist.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

# Matrices are small here and many tests run at once: threads that wait for each other by spinning cost half as much
# processor time again. It has to be said before NumPy or torch is imported.
for _library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import pytest  # noqa: E402

from holdfast.testing.gcs_double import GcsDouble  # noqa: E402
from holdfast.testing.servers import AzuriteServer, SeaweedServer  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> None:
    """A job in the background of a shell ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test reads of vaults is not remembered for whoever runs it, nor for the next test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    with SeaweedServer(tmp_path_factory.mktemp("seaweed") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzuriteServer]:
    with AzuriteServer(tmp_path_factory.mktemp("azurite") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def gcs() -> Iterator[GcsDouble]:
    with GcsDouble() as double:
        yield double
