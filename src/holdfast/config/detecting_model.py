"""`detect` of `holdfast.yaml`: what is watched, who watches, when something counts; and what begins by itself.

Durations are seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from holdfast.config.section import Section
from holdfast.config.words import AssetName, Duration, FilePath, Name, Text

__all__ = ["Automatic", "Detect", "Probe", "ProbeKind", "Repair", "Severity"]

ProbeKind = Literal["http", "tcp", "heartbeat", "snapshot", "store", "exposure", "lag", "alert"]
Severity = Literal["critical", "warning", "info"]
Some = Annotated[int, msgspec.Meta(ge=1, le=100)]


class Repair(Section, frozen=True, kw_only=True):
    """What is tried before anybody is woken: `index` (read anew what the stores hold), `catalog`, `sync` (one round of
    copies of the asset), `command` (no shell in between: it restarts a service, say). `at_most`: so many times for an
    incident; `wait`: between two; `timeout`: of a command.
    """

    do: Literal["index", "catalog", "sync", "command"]
    command: tuple[Text, ...] = ()
    timeout: Duration = 60.0
    at_most: Some = 1
    wait: Duration = 60.0


class Probe(Section, frozen=True, kw_only=True):
    """One thing that is looked at. Bad after `open_after` bad looks of the last `of`, good after `close_after` good
    ones in a row; bad for all when `quorum` observers say so.

    `http`: `url` answers with a status below 400 (`status`: with that one). `tcp`: `address` takes a connection.
    `heartbeat`: the file `path` changed within `older_than`, and the step in it grew. `snapshot`: the newest one of
    `asset` is not older. `store`: the stores of `site` keep and give back an object. `exposure`: of `asset`, within
    its RPO, or `older_than`. `lag`: copies of `asset` at `site` are not further behind. `alert`: an alert of that name
    is firing. `fault_site`: the site that is in trouble when it is bad (by default `site`): who sees nothing else does
    not count. `observers`: only these ones look.
    """

    kind: ProbeKind
    asset: AssetName = ""
    site: Name = ""
    fault_site: Name = ""
    url: Text = ""
    status: Annotated[int, msgspec.Meta(ge=100, le=599)] | None = None
    address: Text = ""
    path: FilePath = ""
    alert: Text = ""
    older_than: Duration | None = None
    timeout: Duration = 5.0
    open_after: Some = 3
    of: Some = 5
    close_after: Some = 3
    quorum: Some | None = None
    severity: Severity = "critical"
    observers: tuple[Text, ...] = ()
    repair: tuple[Repair, ...] = ()


class Detect(Section, frozen=True, kw_only=True):
    """Who watches. `every`: how often each observer looks; `stale_after`: what it said longer ago counts for nothing.

    `observers`: labels of the keys that count; none: those of all keepers. `quorum`: how many of them have to agree.
    `at_most`, `within`: of all runs that begin by themselves together. `hold`: how long repairs keep people from being
    woken at most.
    """

    every: Duration = 30.0
    stale_after: Duration = 120.0
    observers: tuple[Text, ...] = ()
    quorum: Some = 2
    probes: dict[Name, Probe] = {}
    at_most: Some = 2
    within: Duration = 86_400.0
    hold: Duration = 600.0


class Automatic(Section, frozen=True, kw_only=True):
    """When a recovery begins by itself: the condition `when` has been true for `wait`; at most `at_most` runs `within`,
    and `cooldown` after the last one. `target`: the folder below which each run gets one of its own.

    `isolated`: only as a rehearsal. Otherwise a standing approval of another keeper is needed (docs/detection.md).
    """

    when: Text
    target: FilePath
    wait: Duration = 300.0
    at_most: Some = 1
    within: Duration = 86_400.0
    cooldown: Duration = 3600.0
    isolated: bool = False
