"""What counts for an asset in the end, and where each value comes from.

Levels, the nearest first: the asset; its class in the file; the class that this one is `like`, in the file; the class
as it comes with Holdfast (`holdfast.objectives`); what holds for all. Rules on jurisdictions are not overridden: those
of all levels hold together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from holdfast.config.model import Asset, AssetKeep, ClassSpec, Config, Place, StoreSpec, TierRule
from holdfast.config.words import Stripes, Tier
from holdfast.objectives import AssetClass, Placement, objective_of

__all__ = ["Value", "Effective", "Rules", "Wanted", "effective", "kind_of", "restore_time", "landing_tier"]

_MINUTE = 60.0
_DAY = 86_400.0
_FROM_ASSET = "from the asset"
_REPLICATE_EVERY = _MINUTE
_VERIFY_EVERY = {AssetClass.INFERENCE: 1, AssetClass.DATASET: 30, AssetClass.DEVELOPMENT: 30}  # days; others weekly
_PRIORITY = {
    AssetClass.REGISTRY: 8,
    AssetClass.INFERENCE: 8,
    AssetClass.WEIGHTS: 7,
    AssetClass.REGULATED: 6,
    AssetClass.TRAINING: 5,
    AssetClass.DATASET: 3,
    AssetClass.DEVELOPMENT: 1,
}
_RESTORE = {Tier.HOT: _MINUTE, Tier.WARM: 10 * _MINUTE, Tier.COLD: 60 * _MINUTE}
# A commit has to be durable, and perhaps locked, before it is fast: what is hot is often one machine's disk.
_LANDING = (Tier.WARM, Tier.HOT, Tier.COLD)

T = TypeVar("T")


class Value(msgspec.Struct, Generic[T], frozen=True):
    """A value, and where it comes from in words. `path`: where it stands in the file; empty for a default."""

    value: T
    source: str
    path: tuple[str, ...] = ()


class Rules(msgspec.Struct, frozen=True):
    """Where copies may lie. `only`: None without such a rule; `paths`: where it is said."""

    only: frozenset[str] | None
    not_in: frozenset[str]
    paths: tuple[tuple[str, ...], ...]

    def allows(self, jurisdiction: str) -> bool:
        return (self.only is None or jurisdiction in self.only) and jurisdiction not in self.not_in

    def __str__(self) -> str:
        said = [f"only in {', '.join(sorted(self.only)) or 'no place at all'}"] if self.only is not None else []
        said += [f"not in {', '.join(sorted(self.not_in))}"] if self.not_in else []
        return " and ".join(said) or "anywhere"


class Wanted(msgspec.Struct, frozen=True):
    """Which sites somebody named; the first level that names any, or stripes, decides."""

    synchronous: tuple[str, ...] = ()
    asynchronous: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    stripes: Stripes | None = None


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """One asset. None: nobody said, and there is no default (`rpo`, `rto`, `copies` only for what is regulated)."""

    name: str
    asset: Asset
    kind: AssetClass
    rpo: Value[float | None]
    rto: Value[float | None]
    copies: Value[int | None]
    verify_every: Value[float]
    save_every: Value[float | None]
    replicate_every: Value[float]
    priority: Value[int]
    immutable: Value[bool]
    tiers: Value[dict[Tier, TierRule]]
    keep: Value[AssetKeep | None]
    quorum: Value[int | None]
    wanted: Value[Wanted]
    rules: Rules


class _Level(NamedTuple):
    source: str
    path: tuple[str, ...]
    says: Asset | ClassSpec


def kind_of(config: Config, class_name: str) -> AssetClass | None:
    """Which of the classes that come with Holdfast this one is, or is like; None for a class that is unknown."""
    spec = config.classes.get(class_name)
    name = spec.like if spec is not None and spec.like else class_name
    return AssetClass(name) if name in list(AssetClass) else None


def effective(config: Config, name: str) -> Effective:
    """What counts for an asset of the file. Raises KeyError for one that is not in it, or whose class is unknown."""
    asset = config.assets[name]
    kind = kind_of(config, asset.class_name)
    if kind is None:
        raise KeyError(asset.class_name)
    return _Levels(config, name, asset, kind).resolved()


def restore_time(tier: Tier, store: StoreSpec) -> Value[float]:
    """Until a restore's first byte arrives from this store: seconds."""
    if store.restore is not None:
        return Value(store.restore, "from the store")
    return Value(_RESTORE[tier], f"default of a {tier} store")


def landing_tier(stores: dict[Tier, StoreSpec]) -> Tier:
    """Where new snapshots go at a site, unless an asset's home says otherwise. It has at least one store."""
    return next(tier for tier in _LANDING if tier in stores)


class _Levels:
    def __init__(self, config: Config, name: str, asset: Asset, kind: AssetClass) -> None:
        self._name, self._asset, self._kind = name, asset, kind
        self._levels = [_Level(_FROM_ASSET, ("assets", name), asset)]
        spec = config.classes.get(asset.class_name)
        called = [asset.class_name, *([spec.like] if spec is not None and spec.like else [])]
        for one in dict.fromkeys(called):
            if one in config.classes:
                self._levels.append(_Level(f"from class {one}", ("classes", one), config.classes[one]))

    def resolved(self) -> Effective:
        objective = objective_of(self._kind)
        own = f"default of class {self._kind}"
        rpo: Value[float | None] = self._said("rpo", objective.rpo_seconds, own)
        return Effective(
            name=self._name,
            asset=self._asset,
            kind=self._kind,
            rpo=rpo,
            rto=self._said("rto", objective.rto_seconds, own),
            copies=self._said("copies", objective.copies, own),
            verify_every=self._said("verify_every", _VERIFY_EVERY.get(self._kind, 7) * _DAY, own),
            save_every=self._said("save_every", None, "default"),
            replicate_every=self._said("replicate_every", _REPLICATE_EVERY, "default"),
            priority=self._said("priority", _PRIORITY[self._kind], own),
            immutable=self._said("immutable", objective.placement is Placement.IMMUTABLE_SITES, own),
            tiers=self._said("tiers", {}, "default"),
            keep=self._said("keep", None, "default"),
            quorum=self._quorum(rpo.value),
            wanted=self._wanted(),
            rules=self._rules(),
        )

    def _said(self, name: str, default: Any, source: str) -> Value[Any]:
        for level in self._levels:
            found = getattr(level.says, name)
            if found is not None:
                return Value(found, level.source, (*level.path, name))
        return Value(default, source)

    def _places(self) -> Iterator[tuple[_Level, Place]]:
        for level in self._levels:
            yield level, level.says.place

    def _quorum(self, rpo: float | None) -> Value[int | None]:
        for level, place in self._places():
            if place.quorum is not None:
                return Value(place.quorum, level.source, (*level.path, "place", "quorum"))
        return Value(2, "as the RPO is 0") if rpo == 0 else Value(None, "default")

    def _wanted(self) -> Value[Wanted]:
        for level, place in self._places():
            found = Wanted(place.synchronous, place.asynchronous, place.sites, place.stripes)
            if found != Wanted():
                return Value(found, level.source, (*level.path, "place"))
        return Value(Wanted(), "default")

    def _rules(self) -> Rules:
        only: frozenset[str] | None = None
        not_in: frozenset[str] = frozenset()
        paths: list[tuple[str, ...]] = []
        for level, place in self._places():
            if place.only_jurisdiction:
                allowed = frozenset(place.only_jurisdiction)
                only = allowed if only is None else only & allowed
                paths.append((*level.path, "place", "only_jurisdiction"))
            if place.not_in:
                not_in |= frozenset(place.not_in)
                paths.append((*level.path, "place", "not_in"))
        return Rules(only, not_in, tuple(paths))
