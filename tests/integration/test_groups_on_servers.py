"""The barrier on a real S3 server, which one rank loses in the middle: what the others agreed on counts for all."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from holdfast.errors import StoreUnreachableError
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.testing.servers import SeaweedServer
from holdfast.training.groups.barrier import Barrier, Meeting

pytestmark = pytest.mark.servers


def _together(barriers: list[Barrier], point: str, step: int, seconds: float) -> list[Meeting]:
    found: dict[int, Meeting] = {}

    def one(barrier: Barrier) -> None:
        found[barrier.rank] = barrier.meet(point, step, seconds=seconds)

    threads = [threading.Thread(target=one, args=(barrier,)) for barrier in barriers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return [found[barrier.rank] for barrier in barriers]


class _Cut:
    """A store behind a line that can be cut."""

    def __init__(self, store: Store) -> None:
        self._store, self.is_cut = store, False

    def __getattr__(self, name: str) -> object:
        if self.is_cut and name in ("put", "create", "get", "list", "delete"):
            raise StoreUnreachableError("the line is cut")
        return getattr(self._store, name)


@pytest.fixture
def barriers(seaweed: SeaweedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Barrier]:
    """Three ranks, each with a connection of its own."""
    for name, value in seaweed.environment.items():
        monkeypatch.setenv(name, value)
    stores = [open_store(f"{seaweed.url}/{tmp_path.name}", options=seaweed.options) for _ in range(3)]
    return [Barrier(_Cut(store), run="run", rank=rank, world=3) for rank, store in enumerate(stores)]  # type: ignore[arg-type]


def test_ranks_agree_over_s3(barriers: list[Barrier]) -> None:
    assert _together(barriers, "ready", 1, 90.0) == [Meeting(True)] * 3
    assert sorted(barrier.first("commit", 1) for barrier in barriers) == [False, False, True]
    late = _together(barriers[:2], "ready", 2, 0.5)
    assert late[0] == late[1] and late[0].missing == (2,)
    assert barriers[2].meet("ready", 2, seconds=90.0) == late[0]
    barriers[0].forget(2)
    assert {info.key.split("/")[2] for info in barriers[0]._store.list("run/")} == {"2"}


def test_a_rank_whose_line_is_cut_stops_nobody_and_claims_nothing(barriers: list[Barrier]) -> None:
    barriers[1]._store.is_cut = True  # type: ignore[attr-defined]
    found = _together(barriers, "ready", 1, 1.0)
    assert [one.agreed for one in found] == [False] * 3
    assert not found[1].decided and "the line is cut" in found[1].why
    assert found[0].missing == found[2].missing == (1,)
    barriers[1]._store.is_cut = False  # type: ignore[attr-defined]
    assert _together(barriers, "ready", 2, 90.0) == [Meeting(True)] * 3
