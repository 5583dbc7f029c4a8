"""TRAFFIC taken back: requests go to where they went before the step, which need not be the asset's home."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.config.finding import load_config
from holdfast.control.recovering.actors.sending import Sending
from holdfast.control.recovering.actors.services import Services
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import FailedError
from holdfast.recovery.estimates import NOTHING
from holdfast.recovery.journal.entries import FIRST, Deed, Entry
from holdfast.recovery.plans import Kind, Step
from holdfast.recovery.running.actors import Facts, Task

STEP = Step(
    id="traffic-llama",
    kind=Kind.TRAFFIC,
    title="send",
    site="euw4",
    asset="llama",
    estimate=NOTHING,
    undo="send it where it went before",
    with_={"home": "use1"},
)


class Proxy:
    """A file that a command writes and another one shows; the journal of a run that has this one step."""

    def __init__(self, folder: Path, *, show: bool = True, broken: bool = False) -> None:
        self.place, self.sent = folder / "now", folder / "sent"
        self.place.write_text("apne1")
        write = f'echo "$1" >> {self.sent}; ' + ("exit 3" if broken else f'echo "$1" > {self.place}')
        traffic: dict[str, Any] = {"command": ["/bin/sh", "-c", write, "send", "{site}"]}
        traffic |= {"show": ["cat", str(self.place)]} if show else {}
        pool = {"kind": "local", "shape": "small", "machines": 1}
        sites = {
            name: {
                "cloud": "onprem",
                "region": name,
                "jurisdiction": "EU",
                "stores": {"warm": {"url": str(folder / name)}},
                "compute": pool,
            }
            for name in ("use1", "euw4", "apne1")
        }
        health = {"command": ["true"], "times": 1, "every": "1s", "within": "1s"}
        service = {"command": ["true"], "shapes": ["small"], "health": health, "traffic": traffic}
        asset = {
            "class": "training",
            "path": str(folder / "data"),
            "place": {"synchronous": ["use1"], "asynchronous": ["euw4"]},
            "service": service,
        }
        file = {"version": 1, "organisation": "acme", "sites": sites, "assets": {"llama": asset}}
        (folder / "holdfast.yaml").write_text(json.dumps(file))
        self.entries: list[Entry] = []
        environment = {"PATH": "/usr/bin:/bin"}
        services = Services(DeclaredSites(load_config(folder / "holdfast.yaml"), environment))
        self.actor = Sending(services, lambda: self.entries)
        self.task = Task(STEP, "r", "r/traffic-llama", 20.0)

    def say(self, deed: Deed, facts: Facts | None = None) -> None:
        number = len(self.entries)
        self.entries.append(
            Entry(run="r", number=number, before=FIRST, deed=deed, by="plane:1", at=0, step=STEP.id, facts=facts or {})
        )

    def act(self) -> Facts:
        self.say(Deed.BEGUN)
        return self.actor.act(self.task)

    def undo(self) -> None:
        self.say(Deed.UNDOING)
        self.actor.undo(self.task)

    @property
    def now(self) -> str:
        return self.place.read_text().strip()


def test_requests_go_back_to_where_they_went_and_not_home(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path)
    facts = proxy.act()
    assert (facts, proxy.now) == ({"site": "euw4", "was": "apne1"}, "euw4")
    proxy.say(Deed.DONE, facts)
    proxy.undo()
    assert proxy.now == "apne1"
    proxy.undo()  # whoever goes on with a rollback does it again
    assert proxy.now == "apne1" and proxy.sent.read_text().split() == ["euw4", "apne1"]


def test_where_the_command_did_nothing_nothing_is_taken_back(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, broken=True)
    with pytest.raises(FailedError, match="exit code 3"):
        proxy.act()
    proxy.undo()
    assert proxy.now == "apne1" and proxy.sent.read_text().split() == ["euw4"]


def test_what_somebody_else_sent_elsewhere_since_stays(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path)
    proxy.say(Deed.DONE, proxy.act())
    proxy.place.write_text("by-hand")
    proxy.undo()
    assert proxy.now == "by-hand"


def test_where_nobody_knows_where_they_went_it_is_the_home(tmp_path: Path) -> None:
    """A control plane died between sending and saying so; the next one finds it in effect."""
    proxy = Proxy(tmp_path)
    proxy.act()
    found = proxy.actor.done(proxy.task)
    assert found == {"site": "euw4"}
    proxy.say(Deed.DONE, found)
    proxy.undo()
    assert proxy.now == "use1"


def test_a_second_attempt_does_not_take_the_first_for_what_was_before(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path)
    proxy.act()
    facts = proxy.act()
    assert facts == {"site": "euw4", "was": ""}
    proxy.say(Deed.DONE, facts)
    proxy.undo()
    assert proxy.now == "use1"


def test_requests_that_went_there_already_stay(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path)
    proxy.place.write_text("euw4")
    facts = proxy.act()
    assert facts["was"] == "euw4"
    proxy.say(Deed.DONE, facts)
    proxy.undo()
    assert proxy.now == "euw4"


def test_a_command_that_shows_nothing_is_told_the_home(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, show=False)
    proxy.say(Deed.DONE, proxy.act())
    proxy.undo()
    assert proxy.now == "use1"
