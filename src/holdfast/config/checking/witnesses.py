"""Witnesses of audit logs: a log tells of the assets of its vault, and keeps to their rules."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.checking.subject import Said, Subject
from holdfast.config.ruling import assets_of_vaults, barred_by

__all__ = ["check_witnesses"]


def check_witnesses(subject: Subject) -> Iterator[Said]:
    """Witnesses where the rules forbid, and two of one name."""
    placed = {name: one.placement for name, one in subject.placed.items() if one.placement is not None}
    names: set[str] = set()
    for called, witness in subject.config.witnesses.items():
        path = ("witnesses", called)
        if witness.name in names:
            yield Said((*path, "name"), f"`{witness.name[:60]}` stands here twice")
        names.add(witness.name)
        if witness.site not in subject.config.sites:
            continue
        owed = [subject.owed[name] for name in assets_of_vaults(placed, witness.assets or placed)]
        barred = barred_by(subject.config, owed, witness.site)
        if barred:
            yield Said((*path, "site"), f"a witness keeps what the log tells of, and {barred}")
