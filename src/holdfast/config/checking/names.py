"""Names that refer to something in the file: sites, classes, assets, groups, recoveries, links."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.config.checking.subject import Said, Subject
from holdfast.config.model import Place
from holdfast.config.reading import Path
from holdfast.config.values import nearest
from holdfast.objectives import AssetClass

__all__ = ["check_names"]

_BUILT_IN = [one.value for one in AssetClass]


def check_names(subject: Subject) -> Iterator[Said]:
    """Names that nothing is called."""
    yield from _classes(subject)
    yield from _places(subject)
    yield from _links(subject)
    yield from _others(subject)


def _classes(subject: Subject) -> Iterator[Said]:
    config, known = subject.config, {**dict.fromkeys(_BUILT_IN), **subject.named("classes")}
    for name, spec in config.classes.items():
        if name in _BUILT_IN:
            if spec.like:
                yield Said(("classes", name, "like"), f"`{name}` comes with Holdfast, and is like no other")
        elif not spec.like:
            near = nearest(name, _BUILT_IN) or f" (one of {', '.join(_BUILT_IN)})"
            yield Said(("classes", name), f"the new class `{name}` has to say which class it is `like`{near}")
        elif spec.like not in _BUILT_IN:
            yield Said(("classes", name, "like"), _unknown("class that comes with Holdfast", spec.like, _BUILT_IN))
    for name, asset in config.assets.items():
        if asset.class_name not in known:
            yield Said(("assets", name, "class"), _unknown("class", asset.class_name, known))


def _places(subject: Subject) -> Iterator[Said]:
    sites = subject.named("sites")
    config = subject.config
    said: list[tuple[Path, Place]] = [(("classes", name, "place"), spec.place) for name, spec in config.classes.items()]
    said += [(("assets", name, "place"), asset.place) for name, asset in config.assets.items()]
    for path, place in said:
        for field in ("synchronous", "asynchronous", "sites"):
            yield from _each(sites, "site", getattr(place, field), (*path, field))
    for name, asset in config.assets.items():
        if asset.home is not None and asset.home.site not in sites:
            yield Said(("assets", name, "home"), _unknown("site", asset.home.site, sites))


def _links(subject: Subject) -> Iterator[Said]:
    for name, site in subject.config.sites.items():
        known = site.links
        for tier, store in site.stores.items():
            path = ("sites", name, "stores", tier.value)
            if store.link and store.link not in known:
                yield Said((*path, "link"), _unknown("link of this site", store.link, known))
            for number, way in enumerate(store.paths):
                if way.link and way.link not in known:
                    yield Said((*path, "paths", number, "link"), _unknown("link of this site", way.link, known))


def _others(subject: Subject) -> Iterator[Said]:
    config = subject.config
    assets, groups = subject.named("assets"), subject.named("groups")
    for name, group in config.groups.items():
        yield from _each(assets, "asset", group.assets, ("groups", name, "assets"))
        if group.saved_as and group.saved_as not in assets:
            yield Said(("groups", name, "saved_as"), _unknown("asset", group.saved_as, assets))
    for name, witness in config.witnesses.items():
        yield from _each(subject.named("sites"), "site", [witness.site], ("witnesses", name, "site"))
        yield from _each(assets, "asset", witness.assets, ("witnesses", name, "assets"))
    for name, recovery in config.recoveries.items():
        path = ("recoveries", name)
        if recovery.asset and recovery.asset not in assets:
            yield Said((*path, "asset"), _unknown("asset", recovery.asset, assets))
        if recovery.group and recovery.group not in groups:
            yield Said((*path, "group"), _unknown("group", recovery.group, groups))
        yield from _each(subject.named("sites"), "site", recovery.to, (*path, "to"))
    for name, drill in config.drills.items():
        if drill.recovery not in subject.named("recoveries"):
            unknown = _unknown("recovery", drill.recovery, subject.named("recoveries"))
            yield Said(("drills", name, "recovery"), unknown)


def _each(known: Iterable[str], what: str, names: Iterable[str], path: Path) -> Iterator[Said]:
    there = dict.fromkeys(known)
    for number, name in enumerate(names):
        if name not in there:
            yield Said((*path, number), _unknown(what, name, there))


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = nearest(name, names)
    listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"there is no {what} `{name[:60]}`{near or (f': there are {listed}' if names else ', and none at all')}"
