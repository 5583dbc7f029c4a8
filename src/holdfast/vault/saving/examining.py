"""All that is looked at beyond the files themselves: the history, the metrics, and the checks of the user's own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from holdfast.vault.format.records import Entry, Finding
from holdfast.vault.saving.history import History, named_files
from holdfast.vault.saving.hooks import run_checks, view_of
from holdfast.vault.saving.metrics import examine_metrics
from holdfast.vault.saving.options import SaveOptions
from holdfast.vault.saving.outliers import TENSOR_CHECKS, examine_history, find_frozen
from holdfast.vault.saving.validation import CHECKS

__all__ = ["Examined", "examine_snapshot"]

_FROZEN_SHOWN = 3


class Examined(NamedTuple):
    """All checks that ran, what these found, and what is only worth a note."""

    checks: list[str]
    findings: list[Finding]
    notes: list[str]


def examine_snapshot(
    asset: str,
    source: str,
    files: Sequence[Entry],
    parent: Mapping[bytes, Entry],
    history: History,
    options: SaveOptions,
) -> Examined:
    """Compare a snapshot that is about to be committed with those before it. Never raises for what it finds."""
    findings: list[Finding] = []
    notes: list[str] = []
    for path, entry in named_files(source, files):
        shown = os.fsdecode(entry.path).encode("utf-8", "replace").decode()
        findings.extend(examine_history(path, shown, entry, parent.get(entry.path), history))
        notes.extend(_frozen_note(shown, find_frozen(path, entry, history)))
    findings.extend(examine_metrics(options.metrics, history))
    ran, found = run_checks(
        options.checks,
        lambda: view_of(asset, options.step, files, parent.values(), options.metrics, options.meta),
    )
    checks = [*CHECKS, *TENSOR_CHECKS, *(["metric-outlier"] if options.metrics else []), *ran]
    return Examined(checks, [*findings, *found], notes)


def _frozen_note(shown: str, names: list[str]) -> Iterable[str]:
    if names:
        more = f" and {len(names) - _FROZEN_SHOWN} more" if len(names) > _FROZEN_SHOWN else ""
        yield (
            f"{shown}: {', '.join(names[:_FROZEN_SHOWN])}{more} changed in every snapshot before, and now not at all, "
            "while others did"
        )
