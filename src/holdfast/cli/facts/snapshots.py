"""Facts about snapshots."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from holdfast.cli.facts.workers import worker_facts
from holdfast.cli.phrases import clean
from holdfast.cli.schemas.snapshots import (
    ComponentFacts,
    FileFacts,
    FindingFacts,
    MechanismFacts,
    PointerFacts,
    ReadBack,
    SnapshotFacts,
    SnapshotSaved,
    SnapshotShown,
    SnapshotVerified,
    TensorFacts,
)
from holdfast.clock import to_rfc3339
from holdfast.vault.format.records import Entry, Finding, PartLink, Ref, Root, Thinned
from holdfast.vault.snapshots.holds import is_hold
from holdfast.vault.snapshots.quarantine import Mark, marks_in
from holdfast.vault.snapshots.refs import LATEST, RESERVED, VALIDATED, read_backwards
from holdfast.vault.snapshots.thinning import links_without, read_thinned

if TYPE_CHECKING:
    from holdfast.cli.schemas.circumstances import CircumstanceFacts
    from holdfast.cli.schemas.storage import StorageFacts
    from holdfast.control.bulk.spreading import Bulk
    from holdfast.vault.checking.verifying import Verified
    from holdfast.vault.vault import SaveReport, Vault

__all__ = ["snapshot_facts", "pointers_of", "saved_facts", "shown_facts", "verified_facts"]

_CLOCK_SLACK_NS = 300 * 10**9
_CODECS = ("delta", "planes", "zstd", "raw")


def snapshot_facts(
    root: Root, pointers: list[str], thinned: Thinned | None = None, mark: Mark | None = None
) -> SnapshotFacts:
    """A snapshot in short; `pointers` are those that point to it, `thinned` what it gave up, `mark` why it was set
    aside.
    """
    links = links_without(root, thinned)
    return SnapshotFacts(
        id=root.id,
        asset=root.asset,
        step=root.step,
        content_time=to_rfc3339(root.content),
        saved_time=to_rfc3339(root.created),
        source=root.source,
        name=clean(root.name),
        writer=root.writer,
        parents=list(root.parents),
        files=sum(link.files for link in links),
        bytes=sum(link.size for link in links),
        stored_bytes=root.stats.get("stored", 0),
        verdict=root.validation.verdict,
        findings=len(root.validation.findings),
        pointers=pointers,
        thinned=sorted(clean(name) for name in thinned.components) if thinned is not None else [],
        set_aside=None if mark is None else clean(f"{mark.kind}: {mark.reason}"),
    )


def pointers_of(refs: Mapping[str, Ref], snapshot: str) -> list[str]:
    """The pointers of an asset that point to a snapshot: `latest` and `validated` first, then tags by name."""
    found = (name for name, ref in refs.items() if ref.target == snapshot and not _is_note(name))
    names = sorted(found, key=_pointer_order)
    return ["held" if is_hold(name) else clean(name) for name in names]


def saved_facts(report: SaveReport, now_ns: int) -> SnapshotSaved:
    """What saving did. The pointers are those that it moved: a writer's key could not read them back."""
    root = report.root
    latest = [LATEST] if report.latest else []
    validated = [VALIDATED] if report.validated else []
    return SnapshotSaved(
        snapshot=snapshot_facts(root, [*latest, *validated, *sorted(clean(tag) for tag in report.tags)]),
        policy=root.validation.policy,
        findings=_findings(root),
        mechanisms=_mechanisms(root),
        read_back=_read_back(report.verified, now_ns) if report.verified is not None else None,
        validated=report.validated,
    )


def verified_facts(
    vault: Vault, report: SaveReport, *, deep: bool = False, bulk: Bulk | None = None
) -> SnapshotVerified:
    """What reading back a snapshot found, and who did it. `deep`: whether it was asked what the bytes say."""
    root, verified = report.root, report.verified
    if verified is None:
        raise AssertionError("verifying always reads back")
    refs = vault.tags(root.asset) if vault.handle.keys.can_read else {}
    return SnapshotVerified(
        snapshot=snapshot_facts(root, pointers_of(refs, root.id)),
        read_back=_read_back(verified, vault.handle.clock.now_ns()),
        files=verified.files,
        chunks=verified.chunks,
        validated=report.validated,
        findings=_findings(root),
        deep=_as_facts(report.found) if deep else None,
        workers=worker_facts(bulk),
    )


def shown_facts(
    vault: Vault, root: Root, *, tensors: bool, files: bool, codecs: bool = False, circumstances: bool = False
) -> SnapshotShown:
    """All there is to know about a snapshot. Reads its manifests and the asset's pointers. Raises DamageError."""
    refs = vault.tags(root.asset)
    entries = vault.files(root)
    thinned = read_thinned(vault.handle, root)
    records = [(entry, tensor) for entry in entries for tensor in entry.tensors]
    return SnapshotShown(
        snapshot=snapshot_facts(root, pointers_of(refs, root.id), thinned, marks_in(refs).get(root.id)),
        policy=root.validation.policy,
        checks=list(root.validation.checks),
        findings=_findings(root),
        read_back=_last_read_back(vault, root),
        pointers=[
            PointerFacts(name=clean(name), snapshot=ref.target, moved=to_rfc3339(ref.created), reason=clean(ref.reason))
            for name, ref in sorted(refs.items(), key=lambda item: _pointer_order(item[0]))
            if not _is_note(name)
        ],
        components=_components(links_without(root, thinned)),
        mechanisms=_mechanisms(root),
        tensor_count=len(records),
        tensor_bytes=sum(tensor.bytes for _, tensor in records),
        meta=_cleaned(root.meta),
        versions=_cleaned(root.versions),
        tensors=[
            TensorFacts(
                file=_path(entry),
                name=clean(tensor.name),
                dtype=tensor.dtype,
                shape=list(tensor.shape),
                bytes=tensor.bytes,
                norm=tensor.norm,
                nonfinite=tensor.nonfinite,
                least=tensor.least,
                greatest=tensor.greatest,
                zeros=tensor.zeros,
            )
            for entry, tensor in records
        ]
        if tensors
        else None,
        files=[_file(entry) for entry in entries] if files else None,
        codecs=_storage(vault, root) if codecs else None,
        circumstances=_circumstances(vault, root) if circumstances else None,
    )


def _is_note(name: str) -> bool:
    """Marks and lists of restores are told in other words."""
    return name.startswith(RESERVED) and not is_hold(name)


def _pointer_order(name: str) -> tuple[int, str]:
    return ({LATEST: 0, VALIDATED: 1}.get(name, 2), name)


def _findings(root: Root) -> list[FindingFacts]:
    return _as_facts(root.validation.findings)


def _as_facts(findings: Iterable[Finding]) -> list[FindingFacts]:
    return [
        FindingFacts(check=finding.check, where=clean(finding.where), message=clean(finding.message))
        for finding in findings
    ]


def _mechanisms(root: Root) -> list[MechanismFacts]:
    """Those that took in any bytes, the most first."""
    stats = root.stats
    found = [
        MechanismFacts(mechanism="deduplicated", bytes=stats.get("dedup", 0), stored_bytes=0),
        MechanismFacts(mechanism="hole", bytes=stats.get("hole", 0), stored_bytes=0),
    ]
    found += [
        MechanismFacts(
            mechanism=codec, bytes=stats.get(f"raw_{codec}", 0), stored_bytes=stats.get(f"stored_{codec}", 0)
        )
        for codec in _CODECS
    ]
    return sorted((one for one in found if one.bytes), key=lambda one: -one.bytes)


def _components(links: Iterable[PartLink]) -> list[ComponentFacts]:
    totals: dict[str, tuple[int, int]] = {}
    for link in links:
        files, size = totals.get(link.component, (0, 0))
        totals[link.component] = (files + link.files, size + link.size)
    largest_first = sorted(totals.items(), key=lambda item: -item[1][1])
    return [ComponentFacts(component=name, files=files, bytes=size) for name, (files, size) in largest_first if files]


def _file(entry: Entry) -> FileFacts:
    return FileFacts(
        path=_path(entry),
        type=entry.type,
        bytes=entry.size,
        modified=to_rfc3339(entry.mtime),
        format=entry.format if entry.type == "file" else None,
        tensors=len(entry.tensors),
        target=clean(os.fsdecode(entry.target)) if entry.type == "link" else None,
    )


def _read_back(verified: Verified, now_ns: int) -> ReadBack:
    return ReadBack(level=verified.level, bytes=verified.bytes, time=to_rfc3339(now_ns))


def _storage(vault: Vault, root: Root) -> StorageFacts:
    from holdfast.cli.facts.storage import storage_facts  # brings NumPy, which a listing does not need

    return storage_facts(vault, root)


def _circumstances(vault: Vault, root: Root) -> list[CircumstanceFacts]:
    from holdfast.cli.facts.circumstances import circumstance_facts

    return circumstance_facts(vault, root)


def _last_read_back(vault: Vault, root: Root) -> ReadBack | None:
    for ref in read_backwards(vault.handle, root.asset, VALIDATED):
        if ref.created < root.created - _CLOCK_SLACK_NS:
            break  # nothing led to a snapshot before it was there
        check = ref.check
        if ref.target == root.id and check is not None:
            return ReadBack(level=check.level, bytes=check.bytes, time=to_rfc3339(check.at))
    return None


def _path(entry: Entry) -> str:
    return clean(os.fsdecode(entry.path))


def _cleaned(texts: Mapping[str, str]) -> dict[str, str]:
    return {clean(key): clean(value) for key, value in texts.items()}
