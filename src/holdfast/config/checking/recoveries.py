"""Groups, recoveries and drills: checked as far as they go."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.checking.subject import Said, Subject
from holdfast.config.model import Config, Group, Recovery
from holdfast.config.reading import Path

__all__ = ["check_recoveries"]


def check_recoveries(subject: Subject) -> Iterator[Said]:
    """Recoveries of nothing, to nowhere, or to where the data may not go."""
    for name, group in subject.config.groups.items():
        yield from _listed(group.assets, ("groups", name, "assets"), "asset")
        yield from _hooks(group, ("groups", name))
    for name, recovery in subject.config.recoveries.items():
        path: Path = ("recoveries", name)
        if bool(recovery.asset) == bool(recovery.group) and not subject.is_torn(*path):
            yield Said(path, "a recovery is of one `asset`, or of one `group`")
        yield from _listed(recovery.to, (*path, "to"), "site")
        yield from _jurisdictions(subject, recovery, (*path, "to"))
    for name, drill in subject.config.drills.items():
        if drill.every == 0:
            yield Said(("drills", name, "every"), "`every` is more than no time at all")
        elif drill.surprise_within is not None and drill.surprise_within > drill.every:
            path = ("drills", name, "surprise_within")
            yield Said(path, "a surprise within more than `every` would run into the next drill")


def _hooks(group: Group, path: Path) -> Iterator[Said]:
    if group.saved_as in group.assets and group.saved_as:
        yield Said((*path, "saved_as"), "a group is saved as an asset of its own, not as one of its `assets`")
    if group.hold == 0:
        yield Said((*path, "hold"), "hooks hold for more than no time at all")
    for name, hook in group.hooks.items():
        if not hook.before and not hook.after:
            yield Said((*path, "hooks", name), "a hook has a command `before` the cut, or `after` it")
        if hook.timeout == 0:
            yield Said((*path, "hooks", name, "timeout"), "a hook gets more than no time at all")


def _listed(names: tuple[str, ...], path: Path, what: str) -> Iterator[Said]:
    if not names:
        yield Said(path, f"at least one {what} is needed here")
    for number, name in enumerate(names):
        if name in names[:number]:
            yield Said((*path, number), f"`{name[:60]}` is named twice")


def _jurisdictions(subject: Subject, recovery: Recovery, path: Path) -> Iterator[Said]:
    """Data that is restored somewhere lies there."""
    for asset in _assets(subject.config, recovery):
        owed = subject.owed.get(asset)
        for number, name in enumerate(recovery.to):
            site = subject.config.sites.get(name)
            if owed is not None and site is not None and not owed.rules.allows(site.jurisdiction):
                message = f"`{name}` is in {site.jurisdiction}, and {asset} may lie {owed.rules}"
                yield Said((*path, number), message)


def _assets(config: Config, recovery: Recovery) -> tuple[str, ...]:
    group = config.groups.get(recovery.group)
    return (recovery.asset,) if recovery.asset else group.assets if group is not None else ()
