"""Which rules on jurisdictions hold for a vault as a whole: for its audit log, and for who witnesses that. Pure.

A vault holds several assets, and its log tells of all of them: so the rules of all its assets hold together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from holdfast.config.effective import Effective
from holdfast.config.model import Config
from holdfast.config.placing import Placement

__all__ = ["assets_of_vaults", "barred_by", "has_rules"]


def assets_of_vaults(placements: Mapping[str, Placement], names: Iterable[str]) -> list[str]:
    """All assets of the vaults in which these lie: whole copies lie in one, and each set of stripes holds another."""
    vaults = {_vault(placements[name]) for name in names if name in placements}
    return [name for name, placement in placements.items() if _vault(placement) in vaults]


def has_rules(owed: Effective) -> bool:
    """Whether it may not lie everywhere."""
    return owed.rules.only is not None or bool(owed.rules.not_in)


def barred_by(config: Config, owed: Collection[Effective], site: str) -> str:
    """Why what tells of these assets may not lie at a site; empty where it may."""
    jurisdiction = config.sites[site].jurisdiction
    for one in owed:
        if not one.rules.allows(jurisdiction):
            return f"`{site}` is in {jurisdiction}, and {one.name} may lie {one.rules}"
    return ""


def _vault(placement: Placement) -> tuple[str, ...]:
    return () if placement.stripes is None else (str(placement.stripes), *placement.stores)
