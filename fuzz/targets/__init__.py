"""All targets, by name."""

from __future__ import annotations

from fuzz.model import Target
from fuzz.targets import (
    audit,
    audit_groups,
    authority,
    checkpoints,
    codecs,
    collecting,
    config_file,
    kept,
    key_services,
    lines,
    local,
    lock_policies,
    locking,
    mending,
    openers,
    packs,
    prices,
    records,
    regions,
    retaining,
    sites,
    stored,
    stripes,
    texts,
    tiers,
    trust,
    validating,
    words,
)

__all__ = ["TARGETS"]

_MODULES = (stored, records, packs, collecting, retaining, mending, codecs, trust, openers, regions)
_MODULES += (checkpoints, validating, local, texts, words, authority, audit, audit_groups, locking, kept, key_services)
_MODULES += (config_file, lock_policies)
_MODULES += (lines, stripes)
_MODULES += (prices, sites, tiers)

TARGETS: dict[str, Target] = {target.name: target for module in _MODULES for target in module.TARGETS}
