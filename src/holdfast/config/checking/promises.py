"""Objectives and retention: promises that what is declared beside them cannot keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from holdfast.config.checking.subject import Said, Subject
from holdfast.config.effective import Effective, Value, restore_time
from holdfast.config.placing import Placement
from holdfast.config.reading import Path
from holdfast.config.words import Tier
from holdfast.objectives.retention_rules import BUCKETS
from holdfast.units import format_duration, parse_duration

__all__ = ["check_promises"]

_KEPT_MIN = 2  # the newest may be the one that is bad


def check_promises(subject: Subject) -> Iterator[Said]:
    """RPOs below the interval of saves, RTOs below a store's first byte, tiers without stores, too little kept."""
    for path, spec in _owing(subject):
        for field in ("rto", "verify_every", "save_every", "replicate_every"):
            if getattr(spec, field) == 0:
                yield Said((*path, field), f"`{field}` is more than no time at all")
    for name, owed in subject.owed.items():
        if subject.is_torn("assets", name) or subject.is_torn("classes", owed.asset.class_name):
            continue
        yield from _source(owed)
        yield from _kept(owed)
        placed = subject.placed.get(name)
        if placed is not None and placed.placement is not None and not placed.faults:
            yield from _rpo(owed, placed.placement)
            yield from _rto(subject, owed, placed.placement)
            yield from _tiers(subject, owed, placed.placement)


def _owing(subject: Subject) -> Iterator[tuple[Path, object]]:
    for name, spec in subject.config.classes.items():
        yield ("classes", name), spec
    for name, asset in subject.config.assets.items():
        yield ("assets", name), asset


def _source(owed: Effective) -> Iterator[Said]:
    if owed.asset.watch and owed.asset.path:
        yield Said(("assets", owed.name, "path"), "an asset has `watch` or `path`, not both")


def _where(value: Value[Any], name: str, field: str) -> Path:
    return value.path or ("assets", name, field)


def _rpo(owed: Effective, placement: Placement) -> Iterator[Said]:
    """When the home dies, what it had alone is lost: since the last save, and since the last round of copying."""
    rpo, save, copy = owed.rpo.value, owed.save_every.value, owed.replicate_every
    if not rpo or len(placement.sites) < 2:
        return
    waits = 0.0 if placement.quorum > 1 else copy.value
    if (save or 0.0) + waits > rpo:
        parts = [f"saved every {format_duration(save)}"] if save else []
        parts += [f"copied every {format_duration(waits)} ({copy.source})"] if waits else []
        yield Said(
            _where(owed.rpo, owed.name, "rpo") if owed.rpo.path else _where(owed.save_every, owed.name, "save_every"),
            f"{owed.name} owes an RPO of {format_duration(rpo)} ({owed.rpo.source}), but is {' and '.join(parts)}",
        )


def _rto(subject: Subject, owed: Effective, placement: Placement) -> Iterator[Said]:
    """Whichever site is lost, another has to give its first byte before time is up."""
    rto = owed.rto.value
    if rto is None:
        return
    first_byte = {name: _first_byte(subject, name) for name in placement.sites}
    for lost in placement.sites if len(placement.sites) > 1 else ("",):
        left = sorted((seconds, tier, name) for name, (seconds, tier) in first_byte.items() if name != lost)
        needed = placement.stripes.k if placement.stripes is not None else 1
        if len(left) < needed:
            continue
        seconds, tier, name = left[needed - 1]
        if seconds > rto:
            without = f" when {lost} is lost" if lost else ""
            owes = f"{owed.name} owes an RTO of {format_duration(rto)} ({owed.rto.source})"
            late = f"{name}/{tier} gives its first byte after {format_duration(seconds)}"
            yield Said(_where(owed.rto, owed.name, "rto"), f"{owes}, but{without} {late}")
            return


def _first_byte(subject: Subject, site: str) -> tuple[float, str]:
    """Of its fastest store: pre-warming and tiers may put a snapshot there."""
    stores = subject.config.sites[site].stores
    return min((restore_time(tier, store).value, tier.value) for tier, store in stores.items())


def _tiers(subject: Subject, owed: Effective, placement: Placement) -> Iterator[Said]:
    rules, path = owed.tiers.value, owed.tiers.path
    for tier in rules:
        if tier is Tier.HOT:
            yield Said((*path, tier.value), "nothing ages into the hot tier: rules are for `warm` and `cold`")
        elif not any(tier in subject.config.sites[name].stores for name in placement.sites):
            yield Said((*path, tier.value), f"no site of {owed.name} has a {tier} store")
    if Tier.WARM in rules and Tier.COLD in rules and rules[Tier.COLD].after <= rules[Tier.WARM].after:
        yield Said((*path, "cold", "after"), "what goes to the cold tier is older than what goes to the warm one")


def _kept(owed: Effective) -> Iterator[Said]:
    """Fewer than two: when the newest turns out to be bad there is nothing behind it."""
    keep = owed.keep.value
    if keep is None or keep.is_empty:
        return
    amounts = [getattr(keep, name) for name in ("last", *BUCKETS)]
    if "all" in amounts or max([int(one) for one in amounts], default=0) >= _KEPT_MIN:
        return
    if keep.within and owed.save_every.value is None:
        return  # how many fall into that time is not known
    span = parse_duration(keep.within) if keep.within else 0.0
    inside = 1 + span // owed.save_every.value if owed.save_every.value else 1
    if inside < _KEPT_MIN:
        message = f"this keeps one snapshot of {owed.name}: when that is damaged there is none before it"
        yield Said(owed.keep.path, message)
