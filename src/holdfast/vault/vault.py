"""The Python face of a vault. Each verb lives in its own module; here they only meet.

What a verb needs is imported when it is called: a command that lists snapshots loads neither NumPy nor a codec.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import NotFoundError, UsageError
from holdfast.events import SILENT, Progress
from holdfast.ids import is_snapshot_id
from holdfast.stores.protocol import Store
from holdfast.trust.credentials import Credential
from holdfast.vault.access.configuration import pins_for_passphrase, trusted_config, unlock
from holdfast.vault.access.generations import Generations, read_generations
from holdfast.vault.format.records import Finding, Ref, Root
from holdfast.vault.handle import Handle
from holdfast.vault.saving.validation import NORM_JUMP, Policy
from holdfast.vault.snapshots.finding import Listed, list_roots, resolve, tags_of
from holdfast.vault.snapshots.refs import is_tag_name, move_ref

if TYPE_CHECKING:
    from holdfast.objectives.retention import Hold
    from holdfast.objectives.retention_rules import Policy as RetentionPolicy
    from holdfast.trust.kms.services import KeyServices
    from holdfast.vault.checking.verifying import Verified
    from holdfast.vault.checking.whole_vault import CheckReport
    from holdfast.vault.collecting.collect import CollectOptions
    from holdfast.vault.collecting.helping import PackHelpers
    from holdfast.vault.collecting.report import CollectReport
    from holdfast.vault.locking.protecting import Protected
    from holdfast.vault.repairing.model import Repaired
    from holdfast.vault.restoring.fallback import Replica
    from holdfast.vault.restoring.restore import Restored, Writing
    from holdfast.vault.retaining.applying import Applied
    from holdfast.vault.retaining.planning import RetentionPlan
    from holdfast.vault.saving.hooks import SaveCheck
    from holdfast.vault.saving.save import Job
    from holdfast.vault.snapshots.differences import Difference
    from holdfast.vault.snapshots.dropping import DropPlan
    from holdfast.vault.snapshots.quarantine import Mark, SetAside
    from holdfast.vault.tensors.loading import LazyTensors

__all__ = ["Vault", "SaveReport", "open_vault"]

Source = str | os.PathLike[str] | Mapping[str, Any]


class SaveReport(NamedTuple):
    """A committed snapshot. `verified` is None when reading back was not asked for. `validated`, `latest`, `tags`: the
    pointers that moved to it. `found`: where the bytes say otherwise than the manifest, if that was asked for.
    `locked`: until when nobody can destroy it, None where the vault has no lock setting.
    """

    root: Root
    verified: Verified | None
    validated: bool
    latest: bool = False
    tags: tuple[str, ...] = ()
    found: tuple[Finding, ...] = ()
    locked: Protected | None = None


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
        metrics: Mapping[str, float] | None = None,
        checks: Sequence[SaveCheck] = (),
        committed: Callable[[Root], None] | None = None,
    ) -> SaveReport:
        """Save a file, a folder, or a mapping of names to arrays as a new snapshot of `asset`.

        With `verify` it is read back before `latest` moves to it, and `validated` moves, too, if nothing was found
        wrong. Tags move last, and none of the three to a quarantined snapshot. Metadata values that are not text are
        kept as their JSON. `metrics` (`{"loss": 1.9}`) are kept in the metadata as `metric.<name>`, and watched;
        `checks` are functions that look at the snapshot and return findings (docs/validation.md). `committed` is called
        with the root before any pointer moves, and may raise to keep them where they are: for copies at other sites.

        Raises UsageError, SourceChangedError, RefusedError, CredentialError, NotFoundError, DamageError (it does not
        read back, and storing it again did not help), and what the store raises. After an error no pointer has moved,
        and nothing was committed unless the error is of reading back or of moving one.
        """
        from holdfast.vault.locking.protecting import protect_snapshot
        from holdfast.vault.saving.options import save_options
        from holdfast.vault.saving.save import save_job

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
            metrics=metrics,
            checks=checks,
            committed=committed,
        )
        self.handle.keys.names.asset_key(asset)
        for tag in options.tags:
            self._check_tag(tag)
        done = save_job(self.handle, asset, _job(source), options)
        locked = protect_snapshot(self.handle, done.root)
        return SaveReport(done.root, done.verified, done.validated, done.latest, done.tags, locked=locked)

    def load(self, reference: str, *, cache_bytes: int | None = None) -> LazyTensors:
        """The arrays of a snapshot: a mapping that reads each when it is touched. Raises NotFoundError, DamageError.

        `cache_bytes`: of decoded chunks that are kept because only a part of them was asked for.
        """
        from holdfast.vault.files.decoded import DECODED_BYTES
        from holdfast.vault.tensors.loading import load_tensors

        most = DECODED_BYTES if cache_bytes is None else cache_bytes
        return load_tensors(self.handle, self.find(reference), cache_bytes=most)

    def restore(
        self,
        reference: str,
        target: str | os.PathLike[str],
        *,
        only: str | None = None,
        overwrite: bool = False,
        rehearsal: bool = False,
        replicas: Sequence[Vault | Replica] = (),
        writing: Writing | None = None,
    ) -> Restored:
        """Write a snapshot's files, byte for byte. `only` is a glob over their paths. See `vault.restoring.restore`.

        A `rehearsal` is not counted as an attempt to go on from the snapshot: however often it is done, it demotes
        nothing. `replicas` stand in for what cannot be read soundly here, as in `with_replicas`. `writing`: who fills
        the files, by default threads of this process.
        """
        from holdfast.vault.restoring.restore import restore
        from holdfast.vault.snapshots.restores import note_restore

        vault = self.with_replicas(replicas)
        root = vault.find(reference)
        done = restore(vault.handle, root, Path(target), only=only, overwrite=overwrite, writing=writing)
        if only is None and not rehearsal:
            note_restore(self.handle.own, done.root, done.target)
        return done

    def with_replicas(self, replicas: Sequence[Vault | Replica], *, finding: bool = True) -> Vault:
        """This vault for reading, where what cannot be read soundly is taken from its replicas, in this order.

        What was taken is in `Restored.from_replicas`. Replicas that are not opened yet are opened when one is needed.
        """
        from holdfast.vault.restoring.fallback import Replicas, with_replicas

        if not replicas:
            return self
        others = _as_replicas(replicas)
        replicated = Replicas(self.handle.keys.vault, others, self.handle.progress, finding=finding)
        return Vault(with_replicas(self.handle, replicated))

    def repair(self, replicas: Sequence[Vault | Replica] = (), *, dry_run: bool = False) -> Repaired:
        """Mend what is damaged or missing, from the vault's own packs and from replicas; say exactly what is lost.

        See `vault.repairing`. Needs a key that reads and writes; a dry run, one that reads. Raises CredentialError.
        """
        from holdfast.vault.repairing.repair import repair

        return repair(self.handle, _as_replicas(replicas), dry_run=dry_run)

    def find(self, reference: str) -> Root:
        """The snapshot that a reference means (`asset`, `asset@validated`, `asset@step=500`, an id prefix, …)."""
        if self.handle.own is self.handle:
            return resolve(self.handle, reference)
        from holdfast.vault.restoring.fallback import FallbackHandle, find_anywhere

        assert isinstance(self.handle, FallbackHandle)
        return find_anywhere(self.handle, reference)

    def snapshots(self, asset: str | None = None) -> list[Listed]:
        """All snapshots, oldest first; a damaged one with its error."""
        return list_roots(self.handle, asset)

    def tags(self, asset: str) -> dict[str, Ref]:
        """Every pointer of the asset: `latest`, `validated`, tags."""
        return tags_of(self.handle, asset)

    def files(self, root: Root) -> list[Any]:
        """The manifest entries of a snapshot, in order of their paths."""
        from holdfast.vault.restoring.restore import snapshot_entries

        return snapshot_entries(self.handle, root)

    def verify(
        self,
        reference: str,
        *,
        accept_findings: bool = False,
        deep: bool = False,
        reading: Callable[[Handle, Root], Verified] | None = None,
    ) -> SaveReport:
        """Read a snapshot back. If it is good (or its findings are accepted) and newer, `validated` moves to it.

        With `deep`, what the bytes say is compared with what the manifest says of them (`checking.deep`); where they
        differ, that is in `found`, and `validated` moves only if findings are accepted. `reading`: who reads it all
        back, by default threads of this process. Raises DamageError naming what is wrong.
        """
        from holdfast.vault.checking.deep import DEEP, verify_deep
        from holdfast.vault.checking.proofs import Proofs
        from holdfast.vault.checking.verifying import DECODED, Verified, verify_decoded

        root = self.find(reference)
        found: tuple[Finding, ...] = ()
        if deep:
            looked = verify_deep(self.handle, root)
            found = tuple(looked.findings)
            verified = Verified(DECODED, looked.files, looked.chunks, looked.bytes)
        else:
            verified = (reading or verify_decoded)(self.handle, root)
        if not found:
            Proofs(self.handle).credit_snapshot(root.id, DEEP if deep else DECODED)
        good = not found or accept_findings
        moved = good and self._move_validated(root, verified, accept_findings=accept_findings)
        return SaveReport(root, verified, moved, found=found)

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

    def quarantine(self, reference: str, reason: str) -> SetAside:
        """Set a snapshot aside: no reference but its id leads to it, and `validated` falls back to the one before.

        Needs a key that writes. One that cannot read has to name it as `asset@id`, the id in full. Raises UsageError,
        NotFoundError, CredentialError.
        """
        from holdfast.vault.snapshots.quarantine import set_aside

        if not reason.strip() or not reason.isprintable():
            raise UsageError("quarantine needs a reason: one line of text")
        asset, snapshot = self._named(reference)
        return set_aside(self.handle, asset, snapshot, reason)

    def release(self, reference: str) -> SetAside:
        """Take back that a snapshot was set aside; `verify` then moves `validated` to it if it is good.

        Raises NotFoundError (it was not set aside), UsageError, CredentialError.
        """
        from holdfast.vault.snapshots.quarantine import release

        return release(self.handle, *self._named(reference))

    def quarantined(self, asset: str) -> dict[str, Mark]:
        """The snapshots of the asset that are set aside, by id, and why."""
        from holdfast.vault.snapshots.quarantine import marks_of

        return marks_of(self.handle, asset)

    def plan_drop(self, reference: str) -> DropPlan:
        """What dropping would do. Raises RefusedError when a rule forbids it."""
        from holdfast.vault.snapshots.dropping import plan_drop

        return plan_drop(self.handle, self.find(reference))

    def apply_drop(self, plan: DropPlan) -> None:
        """Drop the snapshot. Its packs stay until they are collected."""
        from holdfast.vault.snapshots.dropping import apply_drop

        apply_drop(self.handle, plan)

    def plan_retention(self, policy: RetentionPolicy) -> RetentionPlan:
        """What a retention policy would drop and thin, why, and what that does. Changes nothing."""
        from holdfast.vault.retaining.planning import plan_retention

        return plan_retention(self.handle, policy)

    def apply_retention(self, plan: RetentionPlan) -> Applied:
        """Carry a retention plan out. Raises ConflictError when what it was made from has changed."""
        from holdfast.vault.retaining.applying import apply_retention

        return apply_retention(self.handle, plan)

    def hold(self, reference: str, reason: str, *, until_ns: int | None = None) -> Hold:
        """Hold a snapshot: it is neither dropped nor thinned until `until_ns`, or until `unhold`. Raises UsageError."""
        from holdfast.vault.snapshots.holds import hold_snapshot

        if not reason.strip() or not reason.isprintable():
            raise UsageError("a hold needs a reason: one line of text")
        return hold_snapshot(self.handle, self.find(reference), reason, until_ns)

    def unhold(self, reference: str) -> Hold:
        """End the hold of a snapshot. Raises NotFoundError (it is not held), CredentialError for all but keepers."""
        from holdfast.vault.snapshots.holds import release_hold

        return release_hold(self.handle, self.find(reference))

    def diff(self, before: str, after: str) -> Difference:
        """How two snapshots differ, by their manifests."""
        from holdfast.vault.snapshots.differences import compare_snapshots

        return compare_snapshots(self.handle, self.find(before), self.find(after))

    def check(self, *, read_data: bool = False, sample: float = 1.0, seed: int | None = None) -> CheckReport:
        """Check the whole vault. Damage is in the report."""
        from holdfast.vault.checking.whole_vault import check_vault

        return check_vault(self.handle, read_data=read_data, sample=sample, seed=seed)

    def collect(
        self, options: CollectOptions | None = None, *, dry_run: bool = False, helpers: PackHelpers | None = None
    ) -> CollectReport:
        """Free what no snapshot needs any more, safely beside writers. See `vault.collecting.collect`.

        `helpers`: who reads and rewrites packs, by default this process.
        """
        from holdfast.vault.collecting.collect import collect

        return collect(self.handle, options, dry_run=dry_run, helpers=helpers)

    def _move_validated(self, root: Root, verified: Verified, *, accept_findings: bool = False) -> bool:
        from holdfast.vault.checking.verifying import move_validated

        if not self.handle.keys.can_write:
            return False
        return move_validated(self.handle, root, verified, accept_findings=accept_findings)

    def _named(self, reference: str) -> tuple[str, str]:
        """Asset and id of a snapshot. Whoever cannot read has to say both."""
        if self.handle.keys.can_read:
            root = self.find(reference)
            return root.asset, root.id
        asset, _, snapshot = reference.rpartition("@")
        if not asset or not is_snapshot_id(snapshot.lower()):
            raise UsageError(
                f"this key cannot read, and so cannot look up {reference!r}", hint="name it as ASSET@ID, the id in full"
            )
        return asset, snapshot.lower()

    def _check_tag(self, name: str) -> None:
        if not is_tag_name(name):
            raise UsageError(
                f"{name!r} cannot be a tag",
                hint="`latest` and `validated` are kept by holdfast; no `=`, no `@`, no `!` at the beginning",
            )
        self.handle.keys.names.ref_key(name)


def open_vault(
    store: Store,
    credential: Credential | None,
    *,
    passphrase: str | KeyServices | None = None,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = SILENT,
    generations: Generations | None = None,
) -> Vault:
    """Open the vault on a store: with a credential, else a passphrase, or key services.

    `generations`: its configuration, where that was read just now.

    Raises NotFoundError (no vault), WrongKeyError, UntrustedError, DamageError.
    """
    found = generations if generations is not None else read_generations(store)
    if credential is not None:
        pins: Sequence[str] = credential.keepers
    else:
        pins = pins_for_passphrase(found, passphrase) if passphrase is not None else ()
    expected = credential.vault_id if credential is not None else ""
    keys = unlock(trusted_config(found, pins, expected_vault=expected), credential, passphrase)
    return Vault(Handle(store, keys, clock, progress))


def _as_replicas(replicas: Sequence[Vault | Replica]) -> list[Replica]:
    from holdfast.vault.restoring.fallback import opened_replica

    return [opened_replica(one.handle) if isinstance(one, Vault) else one for one in replicas]


def _job(source: Source) -> Job:
    from holdfast.vault.saving.save import path_job
    from holdfast.vault.tensors.writing import tensor_job

    if isinstance(source, Mapping):
        return tensor_job(source)
    if not isinstance(source, (str, os.PathLike)):
        raise UsageError(
            f"a {type(source).__name__} cannot be saved", hint="give a path, or a mapping of names to arrays"
        )
    return path_job(Path(os.fsdecode(source)))
