"""One save from beginning to end, in the order that makes a crash harmless: packs → index → parts → root → `latest`."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import ConflictError, NotFoundError, RefusedError, SourceChangedError, UsageError
from holdfast.ids import SnapshotId, new_snapshot_id
from holdfast.vault.advancing import advance_ref
from holdfast.vault.documents import write_document
from holdfast.vault.handle import Handle
from holdfast.vault.header import Kind
from holdfast.vault.names import normalised, part_key
from holdfast.vault.pack_writer import PackWriter
from holdfast.vault.records import Entry, Finding, Part, PartLink, Root, Validation, encode_record
from holdfast.vault.refs import LATEST, move_ref
from holdfast.vault.saving.coder import ChunkCoder
from holdfast.vault.saving.contents import Content, FileContent
from holdfast.vault.saving.entries import plain_entry
from holdfast.vault.saving.memory import memory_path, remember
from holdfast.vault.saving.parents import Parent, find_parent
from holdfast.vault.saving.pipeline import Saved, Tally, code_contents
from holdfast.vault.saving.tree import Tree, check_unchanged, component_of, read_link, walk_tree
from holdfast.vault.saving.validation import NORM_JUMP, Policy, examine_file, judge_findings
from holdfast.vault.series import create_once
from holdfast.version import VERSION

__all__ = ["SaveOptions", "Job", "Committed", "path_job", "save_job"]

_OWN_PART_BYTES = 8 << 20
_PART_ENTRIES_MAX = 4096


class SaveOptions(NamedTuple):
    """What a user may say about a snapshot. `content_ns` defaults to the newest modification time in the source."""

    step: int | None = None
    meta: Mapping[str, str] = {}
    versions: Mapping[str, str] = {}
    content_ns: int | None = None
    policy: Policy = Policy.WARN
    norm_jump: float = NORM_JUMP


class Job(NamedTuple):
    """A source, ready to be saved."""

    source: str  # "folder", "file" or "tensors"
    name: str
    contents: list[Content]
    others: list[Entry]  # folders and links
    content_ns: int
    tree: Tree | None


class Committed(NamedTuple):
    """A new snapshot, and its manifests: a writer could not read them back."""

    root: Root
    parts: list[Part]


def path_job(path: Path) -> Job:
    """The job of saving a file or a folder. Raises NotFoundError, PermissionDeniedError."""
    tree = walk_tree(path)
    contents: list[Content] = [FileContent(item) for item in tree.items if item.type == "file"]
    others = [
        plain_entry(item, read_link(item) if item.type == "link" else b"") for item in tree.items if item.type != "file"
    ]
    return Job(tree.source, tree.name, contents, others, tree.newest_ns, tree)


def save_job(handle: Handle, asset: str, job: Job, options: SaveOptions) -> Committed:
    """Save, commit, and point `latest` to the new snapshot (unless it is quarantined).

    Raises SourceChangedError (nothing was committed), RefusedError (the policy is `refuse` and there are findings),
    CredentialError, and what the store raises.
    """
    handle.keys.require_writer("saving")
    memory = memory_path(handle.keys, asset)
    for skipped in job.tree.skipped if job.tree is not None else ():
        handle.progress.note(skipped)
    handle.progress.phase("saving", sum(content.size for content in job.contents))
    handle.refresh()  # what others have stored since is not stored twice, what is gone is not relied upon
    parent, bases = find_parent(handle, asset, memory)
    tally = Tally()
    with PackWriter(handle) as writer:
        coder = ChunkCoder(handle, bases)
        saved = code_contents(handle, job.contents, parent, coder, writer, tally)
        writer.finish()
        tally.add(packs=writer.packs, stored=writer.stored_bytes)
    if job.tree is not None:
        _check_tree(job.tree)
    validation = _validate(saved, parent, options)
    parts = list(_group_parts(saved, job.others))
    links = _write_parts(handle, parts, tally)
    root = _root(handle, asset, job, options, parent, links, tally, validation)
    key = handle.keys.names.snapshot_key(asset, SnapshotId(root.id))
    if not create_once(handle.store, key, write_document(handle.keys, Kind.ROOT, key, encode_record(root))):
        raise ConflictError(f"{key} exists already", hint="save again")
    if validation.verdict != "quarantined":
        _move_latest(handle, root, parent)
        remember(memory, root.id, root.content, parts, job.contents)
    return Committed(root, parts)


def _move_latest(handle: Handle, root: Root, parent: Parent) -> None:
    """`latest` is the newest content, not the last save: a backlog may be saved in another order than it was
    written.
    """
    if handle.keys.can_read:
        moved = advance_ref(handle, root, LATEST, "saved")
    else:
        moved = root.content >= parent.content and bool(move_ref(handle, root.asset, LATEST, root.id, "saved"))
    if not moved:
        handle.progress.note(f"`latest` of {root.asset!r} stays where it is: the content there is newer")


def _check_tree(tree: Tree) -> None:
    """Every file and link is what it was when the walk began: the snapshot is one point in time."""
    for item in tree.items:
        if item.type != "folder":  # a folder's own time changes with what is checked one by one below
            check_unchanged(item)
    if tree.source != "folder":
        return
    top = tree.items[0].path
    try:
        now = {(item.relative, item.type) for item in walk_tree(top).items}
    except NotFoundError as error:
        raise SourceChangedError(f"{top} vanished while it was saved", object_name=str(top)) from error
    changed = now.symmetric_difference((item.relative, item.type) for item in tree.items)
    if changed:
        shown = os.fsdecode(min(changed)[0])
        raise SourceChangedError(f"{shown!r} came or went while {top} was saved", object_name=str(top))


def _validate(saved: list[Saved], parent: Parent, options: SaveOptions) -> Validation:
    findings: list[Finding] = []
    for file in saved:
        known = parent.files.get(file.content.relative)
        findings.extend(examine_file(file.entry, file.problems, known, options.norm_jump))
    if findings and options.policy is Policy.REFUSE:
        first = findings[0]
        more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
        raise RefusedError(
            f"not saved: {first.where}: {first.message}{more}",
            hint="the policy is `refuse`; `--policy warn` or `quarantine` would keep it apart from `validated`",
        )
    return judge_findings(options.policy, findings)


def _group_parts(saved: list[Saved], others: list[Entry]) -> Iterator[Part]:
    """Large files alone, small ones together by component, in a stable order."""
    groups: dict[str, list[Entry]] = {}
    for entry in [*others, *(file.entry for file in saved)]:
        component = component_of(entry.path) if entry.type == "file" else "other"
        if entry.size >= _OWN_PART_BYTES:
            yield Part(component, [entry])
            continue
        group = groups.setdefault(component, [])
        group.append(entry)
        if len(group) >= _PART_ENTRIES_MAX:
            yield Part(component, groups.pop(component))
    for component, entries in groups.items():
        yield Part(component, entries)


def _write_parts(handle: Handle, parts: list[Part], tally: Tally) -> list[PartLink]:
    links = []
    for part in parts:
        record = encode_record(part)
        part_id = handle.keys.names.part_id(record)
        key = part_key(part_id)
        data = write_document(handle.keys, Kind.PART, key, record)
        if create_once(handle.store, key, data):  # False: an equal part of an earlier snapshot is shared
            tally.add(stored=len(data))
        files = [entry for entry in part.entries if entry.type == "file"]
        links.append(PartLink(bytes.fromhex(part_id), part.component, sum(entry.size for entry in files), len(files)))
    return links


def _root(
    handle: Handle,
    asset: str,
    job: Job,
    options: SaveOptions,
    parent: Parent,
    links: list[PartLink],
    tally: Tally,
    validation: Validation,
) -> Root:
    now = handle.clock.now_ns()
    for key, value in options.meta.items():
        try:
            (key + value).encode()
        except (TypeError, UnicodeEncodeError) as error:
            raise UsageError(f"metadata is valid text: {key!r} is not") from error
    return Root(
        id=new_snapshot_id(now),
        asset=normalised(asset),
        created=now,
        content=options.content_ns if options.content_ns is not None else job.content_ns,
        step=options.step,
        parents=[parent.snapshot] if parent.snapshot else [],
        writer=handle.keys.label,
        source=job.source,
        name=os.fsencode(job.name).decode("utf-8", "replace"),  # for people; entries hold the bytes of names
        parts=links,
        meta=dict(options.meta),
        versions={**_versions(), **options.versions},
        stats=tally.counts,
        validation=validation,
    )


def _versions() -> dict[str, str]:
    return {"holdfast": VERSION, "python": platform.python_version(), "platform": platform.platform(terse=True)}
