"""All targets, by name."""

from __future__ import annotations

from fuzz.model import Target
from fuzz.targets import (
    codecs,
    collecting,
    local,
    mending,
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

_MODULES = (stored, records, packs, collecting, retaining, mending, codecs, trust, regions)
_MODULES += (training, validating, local, texts, words)

TARGETS: dict[str, Target] = {target.name: target for module in _MODULES for target in module.TARGETS}
