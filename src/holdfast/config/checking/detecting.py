"""What is watched, who is told, and what may begin by itself: names that exist, conditions that can be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from holdfast.config.checking.subject import Said, Subject
from holdfast.config.conditions import names_in, parse_condition
from holdfast.config.detecting_model import Automatic, Probe
from holdfast.config.notify_model import Channel
from holdfast.config.reading import Path
from holdfast.config.values import nearest
from holdfast.errors import UsageError

__all__ = ["check_detecting", "look_at_detecting"]

_NEEDS: Final = {
    "http": ("url",),
    "tcp": ("address",),
    "heartbeat": ("path", "older_than"),
    "snapshot": ("asset", "older_than"),
    "store": ("site",),
    "exposure": ("asset",),
    "lag": ("asset", "site", "older_than"),
    "alert": ("alert",),
}
_CHANNEL_NEEDS: Final = {
    "pagerduty": ("secret",),
    "slack": ("secret",),
    "webhook": ("url", "secret"),
    "alertmanager": ("url",),
    "email": ("server", "sender", "to"),
}
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")
_MAIL: Final = re.compile(r"[^@\s<>,;\"]{1,64}@[^@\s<>,;\"]{1,255}")


def check_detecting(subject: Subject) -> Iterator[Said]:
    """Everything that would only show when something happens."""
    config = subject.config
    for name, probe in config.detect.probes.items():
        yield from _probe(subject, probe, ("detect", "probes", name))
    for name, recovery in config.recoveries.items():
        if recovery.automatic is not None:
            yield from _automatic(subject, recovery.automatic, ("recoveries", name, "automatic"))
    for name, channel in config.notify.channels.items():
        yield from _channel(channel, ("notify", "channels", name))
    yield from _steps(subject)
    for field, seconds in (("every", config.detect.every), ("within", config.detect.within)):
        if seconds == 0:
            yield Said(("detect", field), f"`{field}` is more than no time at all")
    if config.detect.stale_after < 2 * config.detect.every and ("detect",) in subject.lines:
        message = "`stale_after` of less than two times `every` would forget observers between two looks"
        yield Said(("detect", "stale_after"), message)
    named = config.detect.observers
    if named and len(set(named)) < config.detect.quorum:
        yield Said(("detect", "quorum"), f"{len(set(named))} observers can never be {config.detect.quorum}")


def look_at_detecting(subject: Subject) -> Iterator[Said]:
    """What is allowed, and somebody should think about."""
    config = subject.config
    probes = config.detect.probes
    if (("notify",) in subject.lines) and not probes:
        yield Said(("notify",), "nobody is told of anything: `detect` has no probes")
    if probes and not config.notify.all_channels():
        yield Said(("detect",), "nobody is told of what is detected: `notify` has no channel")
    for name, recovery in config.recoveries.items():
        if recovery.automatic is None:
            continue
        for probe in names_in(parse_condition(recovery.automatic.when)):
            if (probes[probe].quorum or config.detect.quorum) == 1:
                message = f"one observer alone can make `{probe}` bad, and so begin this recovery: `quorum: 2` asks two"
                yield Said(("recoveries", name, "automatic", "when"), message)
        stores = {site for asset in subject.placed.values() if asset.placement for site in asset.placement.sites}
        if len(stores) < 3:
            message = "with fewer than three sites no run begins by itself while one of them is away: both are needed"
            yield Said(("recoveries", name, "automatic"), message)


def _probe(subject: Subject, probe: Probe, path: Path) -> Iterator[Said]:
    for field in _NEEDS[probe.kind]:
        if not getattr(probe, field) and not subject.is_torn(*path):
            yield Said(path, f"a probe of the kind `{probe.kind}` needs `{field}`")
    if probe.asset:
        yield from _known(subject.named("assets"), "asset", [probe.asset], (*path, "asset"))
    for field in ("site", "fault_site"):
        if getattr(probe, field):
            yield from _known(subject.named("sites"), "site", [getattr(probe, field)], (*path, field))
    if probe.url and not probe.url.startswith(("http://", "https://")):
        yield Said((*path, "url"), "this is no address of the web: http://… or https://…")
    if probe.address and not _ADDRESS.fullmatch(probe.address):
        yield Said((*path, "address"), "this is no address: write host:port")
    if probe.open_after > probe.of:
        yield Said((*path, "open_after"), f"{probe.open_after} of the last {probe.of} looks can never be bad")
    if probe.timeout == 0:
        yield Said((*path, "timeout"), "a probe gets more than no time at all")
    named = probe.observers or subject.config.detect.observers
    needed = probe.quorum or subject.config.detect.quorum
    if named and len(set(named)) < needed:
        yield Said(path, f"{len(set(named))} observers can never be {needed}")
    yield from _repairs(probe, path)


def _repairs(probe: Probe, path: Path) -> Iterator[Said]:
    for number, repair in enumerate(probe.repair):
        if (repair.do == "command") != bool(repair.command):
            yield Said((*path, "repair", number), "`do: command` has a `command`, and nothing else has one")
        if repair.do == "sync" and not probe.asset:
            yield Said((*path, "repair", number), f"`{repair.do}` needs the `asset` of the probe")


def _automatic(subject: Subject, automatic: Automatic, path: Path) -> Iterator[Said]:
    try:
        condition = parse_condition(automatic.when)
    except UsageError as error:
        yield Said((*path, "when"), error.message)
        return
    yield from _known(subject.named("probes") or subject.config.detect.probes, "probe", names_in(condition), path)
    if automatic.within == 0:
        yield Said((*path, "within"), "`within` is more than no time at all")
    if not automatic.target.startswith("/"):
        yield Said((*path, "target"), "write the whole path: other machines may run it")


def _channel(channel: Channel, path: Path) -> Iterator[Said]:
    for field in _CHANNEL_NEEDS[channel.kind]:
        if not getattr(channel, field):
            yield Said(path, f"a channel of the kind `{channel.kind}` needs `{field}`")
    if isinstance(channel.url, str) and channel.url and not channel.url.startswith(("http://", "https://")):
        yield Said((*path, "url"), "this is no address of the web: http://… or https://…")
    if channel.server and not _ADDRESS.fullmatch(channel.server):
        yield Said((*path, "server"), "this is no address of a mail server: write host:port")
    for field, addresses in (("sender", [channel.sender] if channel.sender else []), ("to", channel.to)):
        for number, address in enumerate(addresses):
            if channel.kind == "email" and not _MAIL.fullmatch(address):
                yield Said((*path, field, number) if field == "to" else (*path, field), "this is no address of mail")
    if channel.user and channel.secret is None:
        yield Said((*path, "user"), "a user has a password: `secret` says where it is")


def _steps(subject: Subject) -> Iterator[Said]:
    notify = subject.config.notify
    channels = notify.all_channels()
    for number, step in enumerate(notify.escalation):
        path: Path = ("notify", "escalation", number)
        if not step.to:
            yield Said((*path, "to"), "at least one channel is needed here")
        yield from _known(channels, "channel", step.to, (*path, "to"))
        yield from _known(notify.contacts, "contact", step.contacts, (*path, "contacts"))
    for name, deadline in notify.deadlines.items():
        yield from _known(channels, "channel", deadline.to, ("notify", "deadlines", name, "to"))
        if deadline.within == 0:
            yield Said(("notify", "deadlines", name, "within"), "`within` is more than no time at all")


def _known(there: Iterable[str], what: str, names: Iterable[str], path: Path) -> Iterator[Said]:
    known = list(there)
    for name in names:
        if name not in known:
            near = nearest(name, known)
            listed = f": there are {', '.join(known[:8])}" if known else ", and none at all"
            yield Said(path, f"there is no {what} `{name[:60]}`{near or listed}")
