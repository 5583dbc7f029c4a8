"""What a rank's files are compared with, and coded against: the tensors of earlier snapshots, whoever held them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch.distributed.checkpoint.planner import SavePlan

from holdfast.training.committing.known import Known
from holdfast.training.dcp.contents import TensorsContent
from holdfast.training.dcp.layout import is_layout
from holdfast.training.dcp.planning import RankFiles
from holdfast.training.dcp.regions import KnownRegions, same_boxes
from holdfast.vault.format.records import Entry, Finding
from holdfast.vault.saving.contents import Content
from holdfast.vault.saving.partial import ShareSource
from holdfast.vault.snapshots.labels import BaseCandidate
from holdfast.vault.tensors.dtypes import name_of

__all__ = ["Absence", "missing_findings", "share_source"]

_SHOWN = 20


class Absence(NamedTuple):
    """The names of all tensors that the ranks together save: what an earlier snapshot has beyond them is missing."""

    names: frozenset[str]

    @classmethod
    def of(cls, plans: Sequence[SavePlan]) -> Absence | None:
        """None where plans are kept by the planner, and so do not name all."""
        if any(not plan.usable for plan in plans):
            return None
        return cls(frozenset(item.index.fqn for plan in plans for item in plan.items))


def missing_findings(absence: Absence | None, known: Known) -> list[Finding]:
    """Tensors of the newest snapshot that this save lacks, as far as that is known. Only one rank looks."""
    if absence is None or not known.whole or not _is_of_ranks(known.entries):
        return []
    before = {_whole_name(tensor.name) for entry in known.entries for tensor in entry.tensors}
    missing = sorted(before - absence.names)
    findings = [Finding("missing-tensor", name, "the parent snapshot has this tensor") for name in missing[:_SHOWN]]
    if len(missing) > _SHOWN:
        findings.append(Finding("missing-tensor", "", f"{len(missing) - _SHOWN} further tensors are missing"))
    return findings


def share_source(files: RankFiles, known: Known, rank: int, findings: Sequence[Finding]) -> ShareSource:
    """What `save_share` needs. Rank 0 also writes the entry of the folder that all files lie in."""
    contents: list[Content] = [*files.tensors, files.layout]
    before: dict[bytes, Entry] = {}
    for content in files.tensors:
        found = same_boxes({piece.name: piece.form.shape for piece in content.pieces}, known.entries, content.relative)
        if found is not None:
            before[content.relative] = found
    regions = KnownRegions(known.entries)

    def candidates_of(content: Content) -> Mapping[str, BaseCandidate]:
        if not isinstance(content, TensorsContent):
            return {}
        plain = [piece for piece in content.pieces if piece.form.dtype.name != "complex128"]  # those are pairs there
        dtypes = {piece.name: name_of(piece.form.dtype, piece.name) for piece in plain}
        return regions.candidates({piece.name: piece.box for piece in plain if piece.box is not None}, dtypes)

    top = Entry(path=b".", type="folder", mode=0o755, mtime=files.layout.mtime_ns)
    return ShareSource(
        contents, [top] if rank == 0 else [], before, candidates_of, known.bases, known.remembered, findings
    )


def _whole_name(name: str) -> str:
    """The tensor's name without offsets (`…#0,0`), and without the number of a value's array (`…~0`)."""
    whole, _, behind = name.rpartition("#")
    if whole and behind.replace(",", "").isdigit():
        return whole
    whole, _, behind = name.rpartition("~")
    return whole if whole and behind.isdigit() else name


def _is_of_ranks(entries: Sequence[Entry]) -> bool:
    """Whether the snapshot was written by a `VaultWriter`."""
    return any(is_layout(entry.path.decode(errors="replace")) for entry in entries)
