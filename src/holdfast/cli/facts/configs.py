"""Facts about `holdfast.yaml`: what is wrong with it, and what counts in the end."""

from __future__ import annotations

from typing import Any

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.configs import (
    AssetShown,
    ConfigChecked,
    ConfigProblem,
    ConfigShown,
    CountFrom,
    FlagFrom,
    PlacementShown,
    RulesShown,
    SecondsFrom,
    SiteShown,
    StoreShown,
    TextFrom,
    TierRuleShown,
)
from holdfast.config.checking.subject import line_at
from holdfast.config.effective import Effective, Value, effective, restore_time
from holdfast.config.finding import LoadedConfig
from holdfast.config.model import AssetKeep, Config, Site
from holdfast.config.parsing import Checked
from holdfast.config.placing import place
from holdfast.config.reading import Problem
from holdfast.config.words import Tier

__all__ = ["config_checked_facts", "config_shown_facts"]


def config_checked_facts(file: str, checked: Checked) -> ConfigChecked:
    """Everything that is wrong with a file."""
    config = checked.config
    return ConfigChecked(
        file=clean(file),
        sites=len(config.sites) if config else 0,
        assets=len(config.assets) if config else 0,
        groups=len(config.groups) if config else 0,
        problems=[_problem(one) for one in checked.problems],
        findings=[_problem(one) for one in checked.findings],
    )


def _problem(problem: Problem) -> ConfigProblem:
    place = [clean(one) if isinstance(one, str) else one for one in problem.path]
    return ConfigProblem(line=problem.line, message=clean(problem.message), place=place)


def config_shown_facts(loaded: LoadedConfig, names: list[str]) -> ConfigShown:
    """These assets and their sites; without names all. The file has no problems."""
    config = loaded.config
    assets = [_asset(loaded, effective(config, name)) for name in names or config.assets]
    wanted = {site for asset in assets for site in asset.placement.tiers}
    sites = [_site(config, name, site) for name, site in config.sites.items() if not names or name in wanted]
    return ConfigShown(file=str(loaded.path), organisation=config.organisation, sites=sites, assets=assets)


def _site(config: Config, name: str, site: Site) -> SiteShown:
    stores = [
        StoreShown(
            tier=tier.value,
            url=store.url,
            restore=_seconds(restore_time(tier, store), None),
            lock_seconds=store.lock,
            paths=len(store.ways()),
        )
        for tier in Tier
        if (store := site.stores.get(tier)) is not None
    ]
    return SiteShown(
        name=name, cloud=site.cloud.value, region=site.region, jurisdiction=site.jurisdiction, stores=stores
    )


def _asset(loaded: LoadedConfig, owed: Effective) -> AssetShown:
    def line(value: Value[Any]) -> int | None:
        return line_at(loaded.lines, value.path) if value.path else None

    def seconds(value: Value[Any]) -> SecondsFrom:
        return _seconds(value, line(value))

    def count(value: Value[Any]) -> CountFrom:
        return CountFrom(value=value.value, source=value.source, line=line(value))

    rules, asset = owed.rules, owed.asset
    return AssetShown(
        name=owed.name,
        class_name=asset.class_name,
        kind=owed.kind.value,
        watch=asset.watch or None,
        path=asset.path or None,
        rpo=seconds(owed.rpo),
        rto=seconds(owed.rto),
        copies=count(owed.copies),
        immutable=FlagFrom(value=owed.immutable.value, source=owed.immutable.source, line=line(owed.immutable)),
        verify_every=seconds(owed.verify_every),
        save_every=seconds(owed.save_every),
        replicate_every=seconds(owed.replicate_every),
        priority=count(owed.priority),
        keep=TextFrom(value=_kept(owed.keep.value), source=owed.keep.source, line=line(owed.keep)),
        tiers=[
            TierRuleShown(tier=tier.value, after_seconds=rule.after, unread_seconds=rule.unread)
            for tier, rule in owed.tiers.value.items()
        ],
        jurisdictions=RulesShown(
            only=None if rules.only is None else sorted(rules.only),
            not_in=sorted(rules.not_in),
            lines=sorted(line_at(loaded.lines, path) for path in rules.paths),
        ),
        placement=_placement(loaded.config, owed, line(owed.wanted)),
    )


def _placement(config: Config, owed: Effective, line: int | None) -> PlacementShown:
    found = place(config, owed).placement
    assert found is not None, "a file without problems places everything"
    chosen = found.chosen and owed.wanted.value.stripes is None
    return PlacementShown(
        home=f"{found.home}/{found.tiers[found.home]}",
        synchronous=list(found.synchronous),
        asynchronous=list(found.asynchronous),
        quorum=found.quorum,
        stripes=str(found.stripes) if found.stripes is not None else None,
        losses=found.losses,
        tiers={name: tier.value for name, tier in found.tiers.items()},
        chosen=found.chosen,
        source="the first sites that the rules allow" if chosen else owed.wanted.source,
        line=line,
    )


def _seconds(value: Value[Any], line: int | None) -> SecondsFrom:
    return SecondsFrom(value=value.value, source=value.source, line=line)


def _kept(keep: AssetKeep | None) -> str:
    if keep is None:
        return "everything"
    parts = [keep.describe()] if not keep.is_empty else []
    parts += [f"{name} {one.describe()}" for name, one in keep.components.items()]
    return "; ".join(parts)
