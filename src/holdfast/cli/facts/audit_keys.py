"""Facts about the keys of an audit log."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.audit import AuditEarlierKeys, AuditKeyRotated
from holdfast.control.audit.auditing import AuditLog
from holdfast.control.audit.log_key_changes import Rotated

__all__ = ["earlier_keys", "rotated_facts"]


def earlier_keys(log: AuditLog) -> Iterator[AuditEarlierKeys]:
    """The pairs that were used before, oldest first, and the size up to which each counts."""
    eras = log.declared.all_keys.eras
    for era, following in pairwise(eras):
        if following.since is not None:
            yield AuditEarlierKeys(keys=[key.vkey for key in era.keys], size=following.since.size)


def rotated_facts(done: Rotated) -> AuditKeyRotated:
    declared = done.log.declared
    return AuditKeyRotated(
        vault=done.log.vault_id,
        origin=declared.origin,
        keys=[key.vkey for key in declared.keys],
        earlier_keys=list(earlier_keys(done.log)),
        size=done.size,
        handed_over=done.handed_over,
        witnesses=sorted({key.name for key in declared.witnesses}),
        cosigned=done.cosigned,
        key_file=clean(str(done.key_file)),
        retired_file=clean(str(done.retired)) if done.retired is not None else None,
    )
