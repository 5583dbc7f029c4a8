"""All targets, by name."""

from __future__ import annotations

from fuzz.model import Target
from fuzz.targets import (
    audit,
    authority,
    codecs,
    collecting,
    kept,
    key_services,
    local,
    locking,
    mending,
    openers,
    packs,
    records,
    regions,
    retaining,
    stored,
    texts,
    training,
    trust,
    validating,
    words,
)

__all__ = ["TARGETS"]

_MODULES = (stored, records, packs, collecting, retaining, mending, codecs, trust, openers, regions)
_MODULES += (training, validating, local, texts, words, authority, audit, locking, kept, key_services)

TARGETS: dict[str, Target] = {target.name: target for module in _MODULES for target in module.TARGETS}
