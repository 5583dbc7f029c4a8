"""Streams of events: what happens reaches every viewer once, in order; whoever comes back goes on where they were."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from tests.web.conftest import Served

from holdfast.control.service.events import EventLine
from holdfast.recovery.journal.entries import Deed


async def stream(served: Served, path: str, headers: dict[str, str], wanted: int) -> list[tuple[str, str, bytes]]:
    """The first `wanted` events: id, kind, data. By ASGI itself: no client library stands between."""
    found: list[tuple[str, str, bytes]] = []
    gone, buffer = asyncio.Event(), b""

    async def receive() -> dict[str, Any]:
        if not asked:
            asked.append(1)
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal buffer
        if message["type"] == "http.response.start":
            assert message["status"] == 200
            return
        buffer += message.get("body", b"")
        *whole, buffer = buffer.split(b"\n\n")
        for block in whole:
            fields = dict(line.partition(b": ")[::2] for line in block.split(b"\n") if not line.startswith(b":"))
            if b"event" in fields:
                found.append((fields.get(b"id", b"").decode(), fields[b"event"].decode(), fields[b"data"]))
        if len(found) >= wanted:
            gone.set()

    asked: list[int] = []
    given = {"host": "testserver.local", **served.headers("operator"), **headers}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("testserver.local", 80), "state": {},
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    await asyncio.wait_for(served.app(scope, receive, send), timeout=30)  # type: ignore[arg-type]
    return found


def planned(served: Served) -> str:
    body = {"name": "elsewhere", "target": str(served.folder / "back" / "seen")}
    return str(served.client.post("/api/v1/plans", json=body, headers=served.headers("operator")).json()["run"])


def test_a_run_is_followed_without_gap_or_double(served: Served) -> None:
    run = planned(served)
    path = f"/api/v1/runs/{run}/events"
    for deed in ("paused", "resumed", "paused"):
        answer = served.client.post(f"/api/v1/runs/{run}/said", json={"deed": deed}, headers=served.headers("operator"))
        assert answer.status_code in (200, 403), answer.text

    async def watch() -> tuple[Any, Any]:
        first = await stream(served, path, {}, 1)
        again = await stream(served, path, {"Last-Event-ID": "0"}, int(first[-1][0]))
        return first, again

    first, again = asyncio.run(watch())
    assert first[0][1] == "run"
    assert [int(one[0]) for one in again] == list(range(1, int(first[-1][0]) + 1))


def test_the_ring_gives_each_viewer_everything_once(served: Served) -> None:
    """Viewers that read at different paces, while another thread publishes."""
    line = EventLine(served.app.state.service)
    seen: dict[int, list[str]] = {}

    def view(number: int) -> None:
        place, mine = 0, []
        while len(mine) < 2000:
            found = line.since(place, most=1 + number * 7)
            assert found is not None
            events, place = found
            mine += [one.id for one in events]
        seen[number] = mine

    viewers = [threading.Thread(target=view, args=(number,)) for number in range(8)]
    for one in viewers:
        one.start()
    for number in range(2000):
        line._publish("work", {"number": number})
    for one in viewers:
        one.join(timeout=60)
    expected = [f"{line.process}-{number}" for number in range(2000)]
    assert all(mine == expected for mine in seen.values())
    assert len(seen) == 8


def test_who_was_away_for_too_long_looks_again(served: Served) -> None:
    line = EventLine(served.app.state.service)
    for number in range(10_050):
        line._publish("work", {"number": number})
    assert line.place_after(f"{line.process}-10") is None
    assert line.since(5) is None
    assert line.place_after(f"{line.process}-10000") == 10_001
    assert line.place_after("another-1") is None
    assert line.place_after(f"{line.process}-999999") is None
    for nonsense in ("", "-", "x-y", f"{line.process}-{'9' * 40}", f"{line.process}--1"):
        assert line.place_after(nonsense) is None


def test_an_entry_of_a_journal_reaches_the_common_line(served: Served) -> None:
    run = planned(served)
    line: EventLine = served.app.state.events
    news = threading.Event()
    line.watch(news.set)
    line.watch(news.set, run)
    try:
        line.read_run(run)
        place = line.newest()
        from holdfast.control.recovering.recovering import Recoveries

        Recoveries(served.app.state.service.sites()).say(run, Deed.PAUSED, reason="looked at")
        for _ in range(300):
            found = line.since(place)
            assert found is not None
            if any(one.kind == "run" and run.encode() in one.data for one in found[0]):
                break
            news.clear()
            news.wait(0.1)
        told = [one for one in found[0] if one.kind == "run" and run.encode() in one.data]
        assert len(told) == 1
        assert b'"deed":"paused"' in told[0].data
    finally:
        line.leave(news.set)
        line.leave(news.set, run)
