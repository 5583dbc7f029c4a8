"""Placements: refused where a rule on jurisdictions, copies or failure domains would be broken."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.checking.subject import Said, Subject
from holdfast.config.sharing import shared_stores
from holdfast.objectives import AssetClass

__all__ = ["check_placements", "look_at_domains"]


def check_placements(subject: Subject) -> Iterator[Said]:
    """What `placing.py` refuses, and rules that no site can keep."""
    for name, owed in subject.owed.items():
        rules = owed.rules
        if rules.only is not None and not rules.only - rules.not_in:
            yield Said(rules.paths[0], f"the rules for {name} leave no jurisdiction: it may lie {rules}")
            continue
        if owed.kind is AssetClass.REGULATED:
            yield from _regulated(subject, name)
        if name in subject.placed:
            for fault in subject.placed[name].faults:
                yield Said(fault.path, fault.message)
    yield from _shared(subject)


def _shared(subject: Subject) -> Iterator[Said]:
    """Stores for stripes and for something else, of those assets that lie somewhere."""
    placed = {
        name: one.placement for name, one in subject.placed.items() if one.placement is not None and not one.faults
    }
    for one in shared_stores(placed):
        yield Said((*(subject.owed[one.asset].wanted.path or ("assets", one.asset)), "stripes"), str(one))


def _regulated(subject: Subject, name: str) -> Iterator[Said]:
    """Nothing is owed by default to what a law rules: somebody has to say what it asks for."""
    owed = subject.owed[name]
    lacking = [field for field in ("rpo", "rto", "copies") if getattr(owed, field).value is None]
    lacking += ["place.only_jurisdiction"] if owed.rules.only is None and not owed.rules.not_in else []
    torn = subject.is_torn("assets", name) or subject.is_torn("classes", owed.asset.class_name)
    if lacking and not torn:
        said = " and ".join(f"`{field}`" for field in lacking)
        yield Said(("assets", name), f"what is regulated has no defaults: {said} {_has(lacking)} to be said")


def look_at_domains(subject: Subject) -> Iterator[Said]:
    """Sites that fail together: no mistake by itself."""
    seen: dict[tuple[str, str], str] = {}
    for name, site in subject.config.sites.items():
        first = seen.setdefault(site.failure_domain, name)
        if first != name:
            cloud, region = site.failure_domain
            message = f"`{name}` and `{first}` are one failure domain ({cloud} {region}): copies at both count as one"
            yield Said(("sites", name), message)


def _has(things: list[str]) -> str:
    return "has" if len(things) == 1 else "have"
