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
    drills,
    evidence,
    executing,
    incidents,
    journals,
    kept,
    key_services,
    lines,
    local,
    lock_policies,
    locking,
    machines,
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
    serving,
    sites,
    states,
    stored,
    stripes,
    texts,
    tiers,
    trust,
    validating,
    words,
    workings,
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
_MODULES += (incidents,)
_MODULES += (evidence,)
_MODULES += (machines,)
_MODULES += (drills,)
_MODULES += (workings,)
_MODULES += (serving,)

TARGETS: dict[str, Target] = {target.name: target for module in _MODULES for target in module.TARGETS}
