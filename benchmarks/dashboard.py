"""The first page with many assets: the server's time, from the request to the last byte, while standings are judged.

`python -m benchmarks.dashboard --assets 10000 --snapshots 1000000 --sites 100` fills a catalog in SQLite as
`benchmarks.catalog` does, opens the application over it in this process (no network), asks for the first page, others
of the list, filters and searches. Each is asked in two conditions: while nothing else goes on, and while all assets are
judged anew in the background, which a server does for one part in twenty of its time. Prints one JSON object. The data
are deleted in the end; with `--keep FILE` the catalog stays, and the next run with the same figures begins with it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.catalog import NOW, MadeUp, fill
from benchmarks.machine import machine_facts
from holdfast.catalog.opening import open_catalog
from holdfast.control.service.context import open_service
from holdfast.control.service.reading.board import Board, board_of
from holdfast.control.service.reading.samples import EVERY_NS, KEPT_NS, Sample

_PATHS = (
    "/",
    "/index.json",
    "/?page=7",
    "/?find=asset0012",
    "/?state=BREACHED",
    "/?site=site042&page=2",
    "/?find=nothing-of-that-name",
    "/sites",
)


class FixedClock:
    """The time of the made-up data, going on from there."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def now_ns(self) -> int:
        return NOW + round((time.monotonic() - self._begun) * 1e9)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def measure(folder: Path, place: Path, data: MadeUp, rounds: int) -> dict[str, Any]:
    """Milliseconds of each page in both conditions, how long a judgement takes, and memory."""
    from litestar.testing import TestClient

    from holdfast.control.authority.api_key_files import create_api_key
    from holdfast.control.authority.authority_home import AuthorityHome
    from holdfast.control.service.readying import make_ready
    from holdfast.web.app import create_app
    from holdfast.web.pages.rendering import prepare_pages
    from holdfast.web.serving import spare_collecting

    environment = {k: v for k, v in os.environ.items() if not k.startswith("HOLDFAST_")}
    environment |= {f"XDG_{kind}_HOME": str(folder / kind) for kind in ("CONFIG", "STATE", "CACHE")}
    os.environ.update({k: v for k, v in environment.items() if k.startswith("XDG_")})
    clock = FixedClock()
    service = open_service(
        _declared(folder, data), environment=environment, clock=clock, catalog=str(place), work=False
    )
    key = create_api_key(AuthorityHome(environment, clock), "bench", roles=["owner"])[1].text
    quiet: dict[str, list[float]] = {path: [] for path in _PATHS}
    judging: dict[str, list[float]] = {path: [] for path in _PATHS}
    took: list[float] = []
    board = board_of(service)
    app = create_app(service)
    begun = time.perf_counter()
    assert make_ready(service, prepare_pages, wait=120)  # as `holdfast serve` begins
    ready = time.perf_counter() - begun
    spare_collecting()
    with TestClient(app, raise_server_exceptions=True) as client:
        client.headers["authorization"] = f"Bearer {key}"
        before = _memory_mib()
        first = _asked(client, "/")
        _sample_a_day(board)
        for _ in range(rounds):
            for path in _PATHS:
                _rest(board)
                quiet[path].append(_asked(client, path))
        while min(map(len, judging.values())) < rounds:
            for path in _PATHS:
                if not board._busy.locked():
                    took.append(board._took)
                    board._renew_behind(service)
                judging[path].append(_asked(client, path))
        _rest(board)
        after = _memory_mib()
    service.close()
    return {
        "made_ready_s": round(ready, 2),
        "first_request_ms": round(first),
        "judging_alone_s": round(took[0], 2),
        "judging_beside_requests_s": round(statistics.median(took[1:] or took), 2),
        "judged_every_s": round(max(5.0, 20 * took[0]), 1),
        "memory_mib": {
            "before": round(before),
            "after": round(after),
            "peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        },
        "ms": {path: _shape(found) for path, found in quiet.items()},
        "ms_while_judging": {path: _shape(found) for path, found in judging.items()},
    }


def _declared(folder: Path, data: MadeUp) -> Path:
    sites = {
        f"site{number:03d}": {
            "cloud": "aws",
            "region": f"region{number}",
            "jurisdiction": "EU",
            "stores": {"warm": {"url": str(folder / f"store{number}")}},
        }
        for number in range(data.sites)
    }
    config = folder / "holdfast.yaml"
    config.write_text(json.dumps({"version": 1, "organisation": "bench", "sites": sites}))
    return config


def _asked(client: Any, path: str) -> float:
    """Milliseconds until the whole answer is there."""
    begun = time.perf_counter()
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return 1000 * (time.perf_counter() - begun)


def _sample_a_day(board: Board) -> None:
    """What a server has after a day: a sample each half hour, so that each asset has its whole curve."""
    judged = board.judged()
    rows = [(row.standing.asset, row.state, _seconds(row.standing.rpo.current)) for row in judged.rows]
    last: Sample | None = None
    for number in range(KEPT_NS // EVERY_NS - 1, 0, -1):
        last = Sample.of(judged.at - number * EVERY_NS, rows, last)
        board._samples.add(last)


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _rest(board: Board) -> None:
    """Until nothing is judged, and nothing is due."""
    while board._busy.locked():
        time.sleep(0.005)
    board._made_at = time.monotonic()


def _memory_mib() -> float:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _shape(found: list[float]) -> dict[str, float]:
    ordered = sorted(found)
    return {
        "median": round(statistics.median(ordered), 1),
        "p99": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 1),
        "worst": round(ordered[-1], 1),
        "requests": len(ordered),
    }


def _filled(place: Path, data: MadeUp) -> float:
    """Seconds that it took; 0 where there is one."""
    if place.exists():
        return 0.0
    begun = time.perf_counter()
    making = place.with_name(place.name + ".making")
    database = open_catalog(str(making), "bench")
    fill(database, data)
    database.close()
    making.rename(place)
    return time.perf_counter() - begun


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--snapshots", type=int, default=1_000_000)
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=100, help="how often each is asked in each condition")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where the catalog stays, or is already")
    given = parser.parse_args(arguments)
    data = MadeUp(given.assets, given.snapshots, given.sites)
    with tempfile.TemporaryDirectory() as folder:
        place = given.keep or Path(folder) / "catalog.sqlite"
        filled = _filled(place, data)
        size = place.stat().st_size
        found = measure(Path(folder), place, data, given.rounds)
    told: dict[str, Any] = {"assets": data.assets, "snapshots": data.assets * data.each, "sites": data.sites}
    told |= {"fill_s": round(filled, 1), "catalog_mib": round(size / (1 << 20))}
    print(json.dumps({"machine": machine_facts(), **told, **found}, indent=2))


if __name__ == "__main__":
    main()
