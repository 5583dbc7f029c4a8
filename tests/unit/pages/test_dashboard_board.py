"""The board of all assets, when the catalog goes away and comes back: what it says has its age, and is never new."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

import pytest
from sqlalchemy import Connection

from holdfast.catalog.opening import open_catalog
from holdfast.clock import ManualClock
from holdfast.control.service.reading.board import Board, Seen
from holdfast.errors import DamageError, NotFoundError, StoreUnreachableError

if TYPE_CHECKING:
    from holdfast.control.service.context import Service


class Catalogued:
    """As much of a service as a board needs. `gone`: the catalog cannot be read."""

    organisation = "acme"

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.environment = {"XDG_STATE_HOME": str(folder / "state"), "HOME": str(folder)}
        self.gone: Exception | None = None
        self._database = open_catalog(str(folder / "catalog.sqlite"), "acme", make=True)

    @contextmanager
    def catalog(self) -> Iterator[Connection]:
        if self.gone is not None:
            raise self.gone
        with self._database.reading() as connection:
            yield connection

    def sites(self) -> NoReturn:
        raise StoreUnreachableError("no store answers: this is about the catalog")

    def close(self) -> None:
        self._database.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Catalogued]:
    made = Catalogued(tmp_path)
    yield made
    made.close()


def _board(service: Catalogued) -> Board:
    return Board(cast("Service", service))


def test_without_a_catalog_it_says_why_and_no_state(service: Catalogued) -> None:
    service.gone = NotFoundError("there is no catalog")
    board = _board(service)
    with pytest.raises(NotFoundError):
        board.judged()
    assert board.freshness() == []
    service.gone = None
    assert board.judged().rows == []


def test_a_catalog_that_goes_away_leaves_what_was_judged_with_its_age(service: Catalogued) -> None:
    board = _board(service)
    at = board.judged().at
    [fresh] = board.freshness()
    assert not fresh.stale and fresh.age_seconds == 0
    service.gone = DamageError("the catalog is damaged")
    service.clock.sleep(3600)
    board.renew()
    assert board.judged().at == at
    [fresh] = board.freshness()
    assert fresh.stale and fresh.age_seconds == 3600 and "damaged" in fresh.problem
    service.gone = None
    board.renew()
    assert board.judged().at > at
    [fresh] = board.freshness()
    assert not fresh.stale and not fresh.problem


def test_a_damaged_file_of_samples_costs_no_page(service: Catalogued, tmp_path: Path) -> None:
    path = tmp_path / "state" / "holdfast" / "standings" / "acme.sqlite"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all")
    assert _board(service).judged().since is None


def test_one_store_that_was_asked_just_now_does_not_hide_another_that_was_not(service: Catalogued) -> None:
    board = _board(service)
    now = service.clock.now_ns()
    old = now - 3 * 86_400 * 10**9
    stores = [Seen("use1/warm", "use1", now, now, ""), Seen("weu/warm", "weu", old, old, "")]
    board._judged = board.judged()._replace(stores=stores)
    asked = board.freshness()[1]
    assert asked.what == "stores asked" and asked.stale and asked.age_seconds == 3 * 86_400
