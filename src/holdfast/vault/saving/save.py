"""One save from beginning to end, in the order that makes a crash harmless: packs → index → parts → root → read back →
`latest` → `validated`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import (
    DamageError,
    FailedError,
    NotFoundError,
    ObjectNotFoundError,
    RefusedError,
    SourceChangedError,
    UntrustedError,
    WrongKeyError,
)
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.checking.verifying import Verified, forget_damaged, move_validated, verify_written
from holdfast.vault.collecting.leases import HeldLease
from holdfast.vault.collecting.trash import read_trash
from holdfast.vault.format.records import Entry, Finding, Root, Validation
from holdfast.vault.handle import Handle
from holdfast.vault.index import pack_of_key
from holdfast.vault.saving.anchors import Anchors
from holdfast.vault.saving.coder import ChunkCoder
from holdfast.vault.saving.committing import (
    Written,
    group_parts,
    make_root,
    remove_root,
    salted,
    write_parts,
    write_root,
)
from holdfast.vault.saving.contents import Content, FileContent
from holdfast.vault.saving.entries import plain_entry
from holdfast.vault.saving.examining import examine_snapshot
from holdfast.vault.saving.history import History, extended, named_files
from holdfast.vault.saving.links import examine_links
from holdfast.vault.saving.memory import Remembered, memory_path, recall, remember
from holdfast.vault.saving.options import SaveOptions
from holdfast.vault.saving.pack_writer import PackWriter
from holdfast.vault.saving.parents import Parent, find_parent
from holdfast.vault.saving.pipeline import Saved, Tally, code_contents
from holdfast.vault.saving.preparing import prepare_save
from holdfast.vault.saving.tree import Tree, check_unchanged, read_link, walk_tree
from holdfast.vault.saving.validation import Policy, examine_file, examine_presence, judge_findings
from holdfast.vault.snapshots.advancing import advance_ref
from holdfast.vault.snapshots.known_roots import remember_root
from holdfast.vault.snapshots.refs import LATEST, move_ref

__all__ = ["Job", "Committed", "path_job", "save_job"]

_ATTEMPTS = 3  # the second one stores again what did not read back, the third is for what lay behind that


class Job(NamedTuple):
    """A source, ready to be saved."""

    source: str  # "folder", "file" or "tensors"
    name: str
    contents: list[Content]
    others: list[Entry]  # folders and links
    content_ns: int
    tree: Tree | None


class Committed(NamedTuple):
    """A new snapshot, how it was read back (None: it was not), and which pointers moved to it."""

    root: Root
    verified: Verified | None
    latest: bool
    validated: bool
    tags: tuple[str, ...]


def path_job(path: Path) -> Job:
    """The job of saving a file or a folder. Raises NotFoundError, PermissionDeniedError."""
    tree = walk_tree(path)
    contents: list[Content] = [FileContent(item) for item in tree.items if item.type == "file"]
    others = [
        plain_entry(item, read_link(item) if item.type == "link" else b"") for item in tree.items if item.type != "file"
    ]
    return Job(tree.source, tree.name, contents, others, tree.newest_ns, tree)


def save_job(handle: Handle, asset: str, job: Job, options: SaveOptions) -> Committed:
    """Save, commit, read back, and point `latest`, `validated` and the tags to the new snapshot.

    None of them moves to a quarantined one. What does not read back is stored again, without relying on what is
    damaged; if that does not help either, the snapshot is taken back. Raises SourceChangedError and RefusedError (the
    source and the vault lie in each other, or the policy is `refuse` and there are findings): nothing was committed;
    DamageError, CredentialError, and what the store raises.
    """
    with prepare_save(handle, job.tree), HeldLease(handle, "saving") as lease:
        return _save(handle, asset, job, options, lease)


def _save(handle: Handle, asset: str, job: Job, options: SaveOptions, lease: HeldLease) -> Committed:
    memory = memory_path(handle.keys, asset)
    for skipped in job.tree.skipped if job.tree is not None else ():
        handle.progress.note(skipped)
    attempt = _Attempt(handle, asset, job, options, recall(memory), lease)
    written, verified = attempt.write_and_read_back()
    root, parent = written.root, attempt.parent
    if verified is not None:
        remember_root(handle, written.key, root)
        Proofs(handle).credit_snapshot(root.id, verified.level)
    if options.committed is not None:
        lease.keep()
        options.committed(root)
    if root.validation.verdict == "quarantined":
        if options.tags:
            handle.progress.note("quarantined, so no tag leads to it; a tag can be given to its id")
        return Committed(root, verified, latest=False, validated=False, tags=())
    latest = _move_latest(handle, root, parent)
    if latest or handle.keys.can_read:
        ages = attempt.anchors.ages(written.parts)
        remember(memory, root.id, root.content, written.parts, job.contents, ages, attempt.history_with(written))
    # Whoever cannot read cannot compare either, but has just learned whether something newer is known.
    may_move = verified is not None and (latest or handle.keys.can_read)
    validated = verified is not None and may_move and move_validated(handle, root, verified)
    for tag in options.tags:
        move_ref(handle, asset, tag, root.id, "tagged when saved")
    return Committed(root, verified, latest, validated, tuple(options.tags))


class _Attempt:
    """Writing one snapshot, again where it does not read back."""

    def __init__(
        self,
        handle: Handle,
        asset: str,
        job: Job,
        options: SaveOptions,
        remembered: Remembered | None,
        lease: HeldLease,
    ) -> None:
        self._lease = lease
        self._handle = handle
        self._asset = asset
        self._job = job
        self._options = options
        self._remembered = remembered
        parent, self._bases = find_parent(handle, asset, remembered)
        self.parent = parent.matched(job.source, job.contents)
        self.anchors = self._new_anchors()
        self._history = remembered.history if remembered is not None else History()

    def history_with(self, written: Written) -> History:
        """The history of the asset, and this snapshot."""
        files = named_files(self._job.source, [entry for part in written.parts for entry in part.entries])
        return extended(self._history, written.root.id, files, self._options.metrics)

    def _new_anchors(self) -> Anchors:
        return Anchors(self._remembered, self._handle.index.find)

    def write_and_read_back(self) -> tuple[Written, Verified | None]:
        handle = self._handle
        for left in reversed(range(_ATTEMPTS)):
            self.anchors = self._new_anchors()  # what was not committed does not age them
            written = self._write()
            if not self._options.verify:
                return written, None
            try:
                return written, verify_written(handle, written.key, written.root, written.parts, written.digests)
            except (DamageError, FailedError, ObjectNotFoundError, UntrustedError, WrongKeyError) as error:
                remove_root(handle, written)
                if not left:
                    raise
                handle.progress.note(f"{error.message}; what it concerns is stored again")
                forget_damaged(handle, written.parts)
        raise AssertionError("the last attempt returns or raises")

    def _write(self) -> Written:
        """Packs → index → parts → root."""
        handle, job, lease = self._handle, self._job, self._lease
        handle.progress.phase("saving", sum(content.size for content in job.contents))
        lease.keep()
        avoid = read_trash(handle).keys  # after the lease: what is condemned from now on waits for it
        tally = Tally()
        with PackWriter(handle, salted=bool(avoid)) as writer:
            coder = ChunkCoder(handle, self._bases, self.anchors, writer, avoid)
            saved = code_contents(handle, job.contents, self.parent, coder, tally, lease.keep)
            writer.finish()
            for key in avoid:  # what was stored again, as it is condemned there, is read back where it was stored now
                if (pack := pack_of_key(key)) is not None:
                    handle.index.forget_pack(pack)
            tally.add(packs=writer.packs, stored=writer.stored_bytes)
        if job.tree is not None:
            _check_tree(job.tree)
        validation = self._validate(saved)
        parts = [salted(handle, part, avoid) for part in group_parts(saved, job.others)]
        links, digests = write_parts(handle, parts, tally)
        root = make_root(
            handle,
            self._asset,
            source=job.source,
            name=job.name,
            content_ns=job.content_ns,
            parent=self.parent.snapshot,
            options=self._options,
            links=links,
            tally=tally,
            validation=validation,
        )
        lease.keep()
        lease.require()
        return write_root(handle, root, parts, digests)

    def _validate(self, saved: list[Saved]) -> Validation:
        files, parent, options = [file.entry for file in saved], self.parent.files, self._options
        findings: list[Finding] = examine_presence(files, parent)
        for file in saved:
            known = parent.get(file.content.relative)
            findings.extend(examine_file(file.entry, file.problems, known, options.norm_jump))
        findings.extend(examine_links([*self._job.others, *files]))
        examined = examine_snapshot(self._asset, self._job.source, files, parent, self._history, options)
        for note in examined.notes:
            self._handle.progress.note(note)
        return _judge([*findings, *examined.findings], examined.checks, options)


def _move_latest(handle: Handle, root: Root, parent: Parent) -> bool:
    """`latest` is the newest content, not the last save: a backlog may be saved in another order than it was
    written.
    """
    if handle.keys.can_read:
        moved = advance_ref(handle, root, LATEST, "saved")
    else:
        known = min(parent.content, root.created)  # what claims to be of the future does not count
        moved = root.content >= known and bool(move_ref(handle, root.asset, LATEST, root.id, "saved"))
    if not moved:
        handle.progress.note(f"`latest` of {root.asset!r} stays where it is: the content there is newer")
    return moved


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


def _judge(findings: list[Finding], checks: list[str], options: SaveOptions) -> Validation:
    if findings and options.policy is Policy.REFUSE:
        first = findings[0]
        where = f"{first.where}: " if first.where else ""
        more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
        raise RefusedError(
            f"not saved: {where}{first.message}{more}",
            hint="the policy is `refuse`; `--policy warn` or `quarantine` would keep it apart from `validated`",
        )
    return judge_findings(options.policy, findings, checks)
