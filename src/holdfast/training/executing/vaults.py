"""The vault of an asset, opened for one piece of work: the one that was named, else as `holdfast.yaml` declares it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from holdfast.control.authority.guarding import guard
from holdfast.control.vaults.opening import open_at
from holdfast.errors import HoldfastError, NotFoundError, StoreUnreachableError, UsageError
from holdfast.events import Progress
from holdfast.training.executing.asks import Checkpoint, Place
from holdfast.training.executing.attempts import Attempt, decode, encode
from holdfast.training.executing.placing import safe_place
from holdfast.vault.format.names import SNAPSHOTS
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.refs import move_ref, read_backwards
from holdfast.vault.snapshots.roots import content_time
from holdfast.vault.vault import Vault

if TYPE_CHECKING:
    from holdfast.control.sites.declared import DeclaredSites

__all__ = [
    "ATTEMPTS",
    "Saving",
    "Good",
    "open_to_read",
    "open_to_save",
    "with_copies",
    "good_snapshots",
    "known_ids",
    "attempts_in",
    "record_in",
]

ATTEMPTS = "!attempts"
_ATTEMPTS_READ = 20  # each is a request; a loop shows in three


class Saving(NamedTuple):
    """`committed`: for `Vault.save`, copies to the sites that the class waits for; None where there are none."""

    vault: Vault
    committed: Callable[[Root], None] | None


class Good(NamedTuple):
    """Snapshots that were committed and not set aside, whose checks found nothing or whose findings were accepted.

    `bad`: what was listed and cannot be read, with the reason.
    """

    checkpoints: list[Checkpoint]
    bad: list[tuple[Checkpoint, str]]


def open_to_save(place: Place, progress: Progress) -> Saving:
    """Raises UsageError (no vault is named and none declared), PermissionDeniedError, and what opening raises."""
    if place.vault:
        vault = open_at(place.vault, options=place.options, progress=progress)
        guard(vault, "save", asset=place.asset)
        return Saving(vault, None)
    from holdfast.control.sites.saving import declared_save

    saving = declared_save(_declared(progress), place.asset)
    guard(saving.vault, "save", asset=place.asset)
    return Saving(saving.vault, saving.committed)


def open_to_read(place: Place, progress: Progress) -> Vault:
    """The vault; where it does not answer, the first replica that does. Raises what opening the vault raises when none
    does.
    """
    if not place.vault:
        from holdfast.control.sites.finding import open_for_reading

        return open_for_reading(_declared(progress), place.asset)
    try:
        return open_at(place.vault, options=place.options, progress=progress)
    except StoreUnreachableError as error:
        for url in place.replicas:
            with suppress(HoldfastError):
                vault = open_at(url, options=place.replica_options, progress=progress)
                progress.note(f"{error.message}; the copy at {url} is read instead")
                return vault
        raise


def with_copies(vault: Vault, place: Place, progress: Progress) -> Vault:
    """The vault for reading, where what it cannot give soundly comes from the replicas, and from other places where
    this machine opened it.
    """
    from holdfast.control.vaults.repairing import known_replicas, replicas_at

    named = replicas_at(place.replicas, options=place.replica_options, progress=progress)
    known = [one for one in known_replicas(vault, progress=progress) if one.url not in {other.url for other in named}]
    return vault.with_replicas([*named, *known], finding=False)


def _declared(progress: Progress) -> DeclaredSites:
    from holdfast.config.finding import load_config
    from holdfast.control.sites.declared import DeclaredSites

    try:
        return DeclaredSites(load_config(), progress=progress)
    except NotFoundError as error:
        raise UsageError("missing option '--vault' (env var: 'HOLDFAST_VAULT')", hint=error.message) from error


def good_snapshots(vault: Vault, asset: str) -> Good:
    """All of the asset that may be restored. Whether their bytes are sound, the restore finds out."""
    found = Good([], [])
    aside = vault.quarantined(asset)
    accepted: set[str] | None = None
    for listed in vault.snapshots(asset):
        root = listed.root
        if root is None:
            name = listed.key.rpartition("/")[2]
            reason = listed.error.message if listed.error is not None else "it cannot be read"
            found.bad.append((Checkpoint(name, None, 0, snapshot=name), reason))
            continue
        one = checkpoint_of_root(root)
        if root.id in aside:
            found.bad.append((one, f"it was {aside[root.id].kind}: {aside[root.id].reason}"))
            continue
        if root.validation.verdict != "good":
            if accepted is None:
                accepted = {ref.target for ref in read_backwards(vault.handle, asset, "validated")}
            if root.id not in accepted or root.validation.verdict == "quarantined":
                found.bad.append((one, _finding(root)))
                continue
        found.checkpoints.append(one)
    return found


def _finding(root: Root) -> str:
    findings = root.validation.findings
    first = f": {findings[0].where}: {findings[0].message}" if findings else ""
    return f"it was saved with the verdict {root.validation.verdict}{first}"


def checkpoint_of_root(root: Root) -> Checkpoint:
    """Where a snapshot belongs in the folder, as its metadata say; else a folder named after its step, or its id."""
    named = safe_place(root.meta.get("place", "")) or safe_place(root.meta.get("checkpoint", ""))
    if root.source == "file":
        plain = safe_place(root.name) or root.id
        place = named if named is not None and named.rpartition("/")[2] == plain else plain
    else:
        place = named or (f"step-{root.step}" if root.step is not None and root.step >= 0 else root.id)
    written = root.meta.get("written", "")
    exact = written.isascii() and written.isdigit() and 0 < int(written[:19]) <= content_time(root)
    return Checkpoint(
        place=place,
        step=root.step,
        written=int(written[:19]) if exact else content_time(root),
        framework=root.meta.get("framework", ""),
        bytes=sum(link.size for link in root.parts),
        snapshot=root.id,
    )


def known_ids(vault: Vault, asset: str) -> list[str]:
    """Of all snapshots of the asset, by the names of the roots, which any key may list."""
    handle = vault.handle
    prefix = f"{SNAPSHOTS}{handle.keys.names.asset_key(asset)}/"
    return [info.key.removeprefix(prefix) for info in handle.store.list(prefix)]


def attempts_in(vault: Vault, asset: str) -> list[Attempt]:
    """The newest attempts that are recorded in the vault; what cannot be read was not recorded."""
    refs = islice(read_backwards(vault.handle, asset, ATTEMPTS), _ATTEMPTS_READ)
    return [attempt for attempt in (decode(ref.reason) for ref in refs) if attempt is not None]


def record_in(vault: Vault, asset: str, attempt: Attempt) -> None:
    """Record an attempt, or how it ended. Raises CredentialError (a key that may not write), and what the store raises.

    It points nowhere: dropping the snapshot that it began from must not touch it.
    """
    move_ref(vault.handle.own, asset, ATTEMPTS, "", encode(attempt))
