"""All targets, by name."""

from __future__ import annotations

from fuzz.model import Target
from fuzz.targets import (
    audit,
    audit_groups,
    authority,
    checkpoints,
    circumstances,
    codecs,
    collecting,
    config_file,
    executing,
    journals,
    kept,
    key_services,
    lines,
    local,
    lock_policies,
    locking,
    mending,
    openers,
    packs,
    pointers,
    prices,
    ranks,
    records,
    recoveries,
    regions,
    retaining,
    runbooks,
    sites,
    states,
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
_MODULES += (circumstances,)
_MODULES += (ranks,)
_MODULES += (runbooks, journals, recoveries)
_MODULES += (pointers,)
_MODULES += (states,)
_MODULES += (executing,)

TARGETS: dict[str, Target] = {target.name: target for module in _MODULES for target in module.TARGETS}
