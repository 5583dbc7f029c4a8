"""All targets, by name."""

from __future__ import annotations

from fuzz.model import Target
from fuzz.targets import codecs, collecting, local, packs, records, regions, stored, texts, training, trust

__all__ = ["TARGETS"]

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (stored, records, packs, collecting, codecs, trust, regions, training, local, texts)
    for target in module.TARGETS
}
