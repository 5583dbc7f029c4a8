"""What would blind who watches, or show them what is not there: slow answers, old looks, clocks, empty good news."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.config.detecting_model import Repair
from holdfast.control.incidents.model import Deed, Entry, encode_entry, incident_of
from holdfast.control.incidents.probing import _Place
from holdfast.control.incidents.repairing import next_repair
from holdfast.detection.looks import Look, State, Terms, Track, after, resumed
from holdfast.detection.observations import Observation, Seen
from holdfast.detection.probes.heartbeat import Beat, heartbeat_probe
from holdfast.detection.probes.network import http_probe
from holdfast.detection.quorum import Place, Report, judge
from holdfast.errors import UsageError
from holdfast.notifying.alertmanager import parse
from holdfast.notifying.posting import post

S = 1_000_000_000
NOW = 1_700_000_000 * S


@pytest.fixture
def trickling() -> Iterator[str]:
    """A server whose answer comes letter by letter, for three seconds."""
    server = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                for _ in range(60):
                    connection.sendall(b"a")
                    if ended.wait(0.05):
                        return
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    ended.set()
    thread.join()
    server.close()


def test_a_page_that_comes_letter_by_letter_is_bad_in_time(trickling: str) -> None:
    began = time.monotonic()
    answer = http_probe(trickling, 0.3)
    assert answer.state is State.BAD and time.monotonic() - began < 2.0


def test_a_receiver_that_answers_letter_by_letter_holds_nobody_up(trickling: str) -> None:
    began = time.monotonic()
    assert post(trickling, b"", {}, timeout_s=0.3).sent  # its status had come: it was taken
    assert time.monotonic() - began < 2.0


def test_who_hangs_leaves_its_place_to_others() -> None:
    places = threading.Semaphore(1)
    hanging, other = _Place(places), _Place(places)
    with hanging:
        hanging.leave()
        with other:
            assert not places.acquire(blocking=False)
    assert places.acquire(blocking=False) and not places.acquire(blocking=False)


def test_what_could_not_be_looked_at_breaks_a_row() -> None:
    track = Track()
    for number, state in enumerate(
        (State.BAD, State.BAD, State.BAD, State.GOOD, State.GOOD, State.UNKNOWN, State.GOOD)
    ):
        track = after(track, Look(state=state, at=NOW + number * S), Terms())
    assert track.state is State.BAD


def test_looks_of_last_week_say_nothing_now() -> None:
    track = Track()
    for number in range(3):
        track = after(track, Look(state=State.BAD, at=NOW + number * S), Terms())
    later = NOW + 7 * 86_400 * S
    assert resumed(track, NOW + 60 * S, 3600 * S) == track
    for now in (later, NOW - S):
        assert after(resumed(track, now, 3600 * S), Look(state=State.BAD, at=now), Terms()).state is State.UNKNOWN


def _reports(**states: State) -> list[Report]:
    probes = {name: Seen(state=state, last_good=1 << 62) for name, state in states.items()}
    return [
        Report(observation=Observation(observer=name, at=NOW, probes=probes), signer=name) for name in ("ann", "ben")
    ]


def test_only_what_leaves_this_machine_shows_that_one_is_not_cut_off() -> None:
    place = Place(name="web", quorum=2, fault_site="use1")
    reports = _reports(web=State.BAD, quiet=State.GOOD)
    assert judge(place, reports, NOW, 60, {"web": "use1"}).state is State.UNKNOWN  # `quiet` is an alert
    assert judge(place, reports, NOW, 60, {"web": "use1", "quiet": "euw4"}).state is State.BAD


def test_nobody_saw_it_good_after_they_spoke() -> None:
    assert judge(Place(name="web", quorum=2), _reports(web=State.GOOD), NOW, 60, {"web": ""}).last_good == NOW


def test_a_file_of_a_clock_that_is_ahead_has_to_be_touched_while_it_is_looked_at(tmp_path: Path) -> None:
    path, last = tmp_path / "beat", None
    path.write_text("x")
    os.utime(path, ns=(NOW + 7200 * S, NOW + 7200 * S))
    states = []
    for seconds in (0, 60, 600):
        answer, last = heartbeat_probe(path, 120.0, NOW + seconds * S, last)
        states.append(answer.state)
    assert states == [State.GOOD, State.GOOD, State.BAD] and isinstance(last, Beat)
    os.utime(path, ns=(NOW + 7800 * S, NOW + 7800 * S))
    assert heartbeat_probe(path, 120.0, NOW + 660 * S, last)[0].state is State.GOOD


def test_a_second_command_is_tried_when_the_first_is_used_up() -> None:
    repairs = (Repair(do="command", command=("a",)), Repair(do="command", command=("b",)))
    opened = Entry(incident="i", deed=Deed.OPENED, by="x", at=S, kind="probe", noticed_at=S)
    tried = [Entry(incident="i", deed=Deed.REPAIRED, by="x", at=at * S, step="command") for at in (2, 200)]
    for number, expected in enumerate((repairs[0], repairs[1], None)):
        incident = incident_of("i", [("0", opened), *((str(n + 1), one) for n, one in enumerate(tried[:number]))])
        assert incident is not None and next_repair(incident, repairs, 1000 * S) is expected


def test_an_alert_that_fits_in_no_entry_is_refused() -> None:
    def body(letters: int) -> bytes:
        labels = {f"{number:02d}": "é" * letters for number in range(60)}
        alert = {"status": "firing", "labels": labels, "fingerprint": "ab"}
        return json.dumps({"version": "4", "alerts": [alert]}, ensure_ascii=False).encode()

    [small] = parse(body(300))
    assert (
        len(encode_entry(Entry(incident="i", deed=Deed.OPENED, by="b", at=1, kind="k", labels=small.labels))) < 100_000
    )
    with pytest.raises(UsageError, match="48 KiB"):
        parse(body(900))
