"""The Python face of a vault. Each verb lives in its own module; here they only meet."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import NotFoundError, UsageError
from holdfast.events import SILENT, Progress
from holdfast.stores.protocol import Store
from holdfast.trust.credentials import Credential
from holdfast.vault.access.configuration import load_config, pins_for_passphrase, unlock
from holdfast.vault.checking.verifying import Verified, move_validated, verify_decoded
from holdfast.vault.checking.whole_vault import CheckReport, check_vault
from holdfast.vault.files.decoded import DECODED_BYTES
from holdfast.vault.format.records import Ref, Root
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.restore import Restored, restore, snapshot_entries
from holdfast.vault.saving.options import save_options
from holdfast.vault.saving.save import Job, path_job, save_job
from holdfast.vault.saving.validation import NORM_JUMP, Policy
from holdfast.vault.snapshots.differences import Difference, compare_snapshots
from holdfast.vault.snapshots.dropping import DropPlan, apply_drop, plan_drop
from holdfast.vault.snapshots.finding import Listed, list_roots, resolve, tags_of
from holdfast.vault.snapshots.refs import LATEST, VALIDATED, move_ref
from holdfast.vault.tensors.loading import LazyTensors, load_tensors
from holdfast.vault.tensors.writing import tensor_job

__all__ = ["Vault", "SaveReport", "open_vault"]

Source = str | os.PathLike[str] | Mapping[str, Any]


class SaveReport(NamedTuple):
    """A committed snapshot. `verified` is None when reading back was not asked for. `validated`, `latest`, `tags`: the
    pointers that moved to it.
    """

    root: Root
    verified: Verified | None
    validated: bool
    latest: bool = False
    tags: tuple[str, ...] = ()


class Vault:
    """An opened vault. Errors are `holdfast.HoldfastError` and its children only."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle

    @property
    def url(self) -> str:
        return self.handle.store.url

    @property
    def id(self) -> str:
        """32 hex digits."""
        return self.handle.keys.vault.hex()

    def save(
        self,
        asset: str,
        source: Source,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        versions: Mapping[str, str] | None = None,
        tags: Sequence[str] = (),
        policy: Policy | str = Policy.WARN,
        norm_jump: float = NORM_JUMP,
        verify: bool = True,
    ) -> SaveReport:
        """Save a file, a folder, or a mapping of names to arrays as a new snapshot of `asset`.

        With `verify` it is read back before `latest` moves to it, and `validated` moves, too, if nothing was found
        wrong. Tags move last, and none of the three to a quarantined snapshot. Metadata values that are not text are
        kept as their JSON. Raises UsageError, SourceChangedError, RefusedError, CredentialError, NotFoundError,
        DamageError (it does not read back, and storing it again did not help), and what the store raises. After an
        error no pointer has moved, and nothing was committed unless the error is of reading back or of moving one.
        """
        if not isinstance(asset, str):
            raise UsageError(f"the name of an asset is text: {asset!r} is not")
        options = save_options(
            step=step,
            metadata=metadata,
            versions=versions,
            tags=tags,
            policy=policy,
            norm_jump=norm_jump,
            verify=verify,
        )
        self.handle.keys.names.asset_key(asset)
        for tag in options.tags:
            self._check_tag(tag)
        done = save_job(self.handle, asset, _job(source), options)
        return SaveReport(done.root, done.verified, done.validated, done.latest, done.tags)

    def load(self, reference: str, *, cache_bytes: int = DECODED_BYTES) -> LazyTensors:
        """The arrays of a snapshot: a mapping that reads each when it is touched. Raises NotFoundError, DamageError.

        `cache_bytes`: of decoded chunks that are kept because only a part of them was asked for.
        """
        return load_tensors(self.handle, self.find(reference), cache_bytes=cache_bytes)

    def restore(
        self, reference: str, target: str | os.PathLike[str], *, only: str | None = None, overwrite: bool = False
    ) -> Restored:
        """Write a snapshot's files, byte for byte. `only` is a glob over their paths. See `vault.restoring.restore`."""
        return restore(self.handle, self.find(reference), Path(target), only=only, overwrite=overwrite)

    def find(self, reference: str) -> Root:
        """The snapshot that a reference means (`asset`, `asset@validated`, `asset@step=500`, an id prefix, …)."""
        return resolve(self.handle, reference)

    def snapshots(self, asset: str | None = None) -> list[Listed]:
        """All snapshots, oldest first; a damaged one with its error."""
        return list_roots(self.handle, asset)

    def tags(self, asset: str) -> dict[str, Ref]:
        """Every pointer of the asset: `latest`, `validated`, tags."""
        return tags_of(self.handle, asset)

    def files(self, root: Root) -> list[Any]:
        """The manifest entries of a snapshot, in order of their paths."""
        return snapshot_entries(self.handle, root)

    def verify(self, reference: str, *, accept_findings: bool = False) -> SaveReport:
        """Read a snapshot back. If it is good (or its findings are accepted) and newer, `validated` moves to it.

        Raises DamageError naming what is wrong.
        """
        root = self.find(reference)
        verified = verify_decoded(self.handle, root)
        return SaveReport(root, verified, self._move_validated(root, verified, accept_findings=accept_findings))

    def tag(self, reference: str, name: str) -> Root:
        """Give the snapshot a tag; the tag leaves where it was."""
        self._check_tag(name)
        root = self.find(reference)
        move_ref(self.handle, root.asset, name, root.id, "tagged")
        return root

    def untag(self, asset: str, name: str) -> None:
        """Remove a tag. Its history stays. Raises NotFoundError, UsageError for a name that cannot be a tag."""
        self._check_tag(name)
        if name not in self.tags(asset):
            raise NotFoundError(f"{asset!r} has no tag {name!r}", hint="see `holdfast snapshot list`")
        move_ref(self.handle, asset, name, "", "tag removed")

    def plan_drop(self, reference: str) -> DropPlan:
        """What dropping would do. Raises RefusedError when a rule forbids it."""
        return plan_drop(self.handle, self.find(reference))

    def apply_drop(self, plan: DropPlan) -> None:
        """Drop the snapshot. Its packs stay until they are collected."""
        apply_drop(self.handle, plan)

    def diff(self, before: str, after: str) -> Difference:
        """How two snapshots differ, by their manifests."""
        return compare_snapshots(self.handle, self.find(before), self.find(after))

    def check(self, *, read_data: bool = False, sample: float = 1.0, seed: int | None = None) -> CheckReport:
        """Check the whole vault. Damage is in the report."""
        return check_vault(self.handle, read_data=read_data, sample=sample, seed=seed)

    def _move_validated(self, root: Root, verified: Verified, *, accept_findings: bool = False) -> bool:
        if not self.handle.keys.can_write:
            return False
        return move_validated(self.handle, root, verified, accept_findings=accept_findings)

    def _check_tag(self, name: str) -> None:
        if name in (LATEST, VALIDATED) or "=" in name or "@" in name:
            raise UsageError(
                f"{name!r} cannot be a tag", hint="`latest` and `validated` are kept by holdfast; no `=`, no `@`"
            )
        self.handle.keys.names.ref_key(name)


def open_vault(
    store: Store,
    credential: Credential | None,
    *,
    passphrase: str | None = None,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = SILENT,
) -> Vault:
    """Open the vault on a store. Raises NotFoundError (no vault), WrongKeyError, UntrustedError, DamageError."""
    if credential is not None:
        pins: Sequence[str] = credential.keepers
    else:
        pins = pins_for_passphrase(store, passphrase) if passphrase is not None else ()
    expected = credential.vault_id if credential is not None else ""
    keys = unlock(load_config(store, pins, expected_vault=expected), credential, passphrase)
    return Vault(Handle(store, keys, clock, progress))


def _job(source: Source) -> Job:
    if isinstance(source, Mapping):
        return tensor_job(source)
    if not isinstance(source, (str, os.PathLike)):
        raise UsageError(
            f"a {type(source).__name__} cannot be saved", hint="give a path, or a mapping of names to arrays"
        )
    return path_job(Path(os.fsdecode(source)))
