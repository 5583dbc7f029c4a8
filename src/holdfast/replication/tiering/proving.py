"""Whether a snapshot is whole and right at a store: every byte of its packs was compared with its name there.

Packs are named by the hash of their bytes, so a pack that hashes to its name is the source's. Each is read once: what
this machine proved is remembered (`vault.checking.proofs`), and when that is lost, it is read again. What the content
is worth was proven where the snapshot was validated; a copy can only be as good.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from holdfast.errors import DamageError, HoldfastError, NotFoundError
from holdfast.ids import PackId, SnapshotId
from holdfast.replication.copying.arriving import Arrivals
from holdfast.replication.copying.needing import packs_of
from holdfast.replication.copying.objects import ObjectCopier
from holdfast.replication.copying.thinned import ThinnedSides
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.checking.verifying import STORED_BYTES, verify_pack
from holdfast.vault.format.names import PACKS, pack_key
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.finding import read_parts
from holdfast.vault.snapshots.roots import read_root

__all__ = ["Prover", "find_root"]

_STREAMS = 4
_SLACK_NS = 300 * 10**9  # by which the clocks of this machine and of a store may differ


def find_root(handle: Handle, asset: str, snapshot: str) -> Root | None:
    """The snapshot's root at a store, read there; None when the store has none. Raises DamageError, CredentialError."""
    try:
        return read_root(handle, handle.keys.names.snapshot_key(asset, SnapshotId(snapshot)))
    except NotFoundError:
        return None


class Prover:
    """Proofs at one store. One for a whole run: a machine that can keep no file remembers for that long."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._proofs = Proofs(handle)

    def prove(self, root: Root) -> int:
        """Read the manifests, and every pack of the snapshot that was not proven here yet. Returns the bytes read.

        Raises DamageError naming what is wrong.
        """
        read_parts(self._handle, root)
        stored = self._stored()
        known = self._proven_since(stored)
        fresh = [pack for pack in packs_of(self._handle, root, stored) if pack not in known]
        with ThreadPoolExecutor(_STREAMS) as pool:
            sizes = list(pool.map(self._prove_pack, fresh))
        self._proofs.credit_packs(fresh)
        before = self._proofs.snapshots().get(root.id)  # decoding proved more, and of the same bytes
        self._proofs.credit_snapshot(root.id, STORED_BYTES if before is None else before.level)
        return sum(sizes)

    def was_read(self, snapshot: str) -> bool:
        """Whether this machine read the snapshot back here, in whatever way."""
        return snapshot in self._proofs.snapshots()

    def why_unproven(self, source: Handle, root: Root) -> str:
        """Why the snapshot does not count as whole and right here now; empty when it does.

        Root and manifests are read, packs looked for by name and size, and each has to have been proven. `source` is
        where the snapshot lies as well, and is about to leave.
        """
        handle = self._handle
        try:
            copier = ObjectCopier(source.store, handle.store, handle.progress)
            key = handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id))
            if not Arrivals(handle, copier, ThinnedSides(source, handle)).is_whole(key, root):
                return f"it is not whole at {handle.store.url}"
            stored = self._stored()
            unproven = packs_of(handle, root, stored).keys() - self._proven_since(stored)
            return f"{len(unproven)} of its packs were never read back at {handle.store.url}" if unproven else ""
        except HoldfastError as error:
            return f"{handle.store.url}: {error.message}"

    def _prove_pack(self, pack: PackId) -> int:
        try:
            return verify_pack(self._handle, pack)
        except DamageError:
            self._proofs.forget(packs=[pack])
            self._handle.index.forget_pack(pack)
            raise

    def _stored(self) -> dict[str, int]:
        """The packs here, and when they came. Of a chunk that lies in several packs, all of them have to be right."""
        return {info.key: info.modified_ns for info in self._handle.store.list(PACKS)}

    def _proven_since(self, stored: Mapping[str, int]) -> set[PackId]:
        """Packs that were proven since they came: one that came again has to be read again."""
        proven = self._proofs.packs()
        return {pack for pack, at in proven.items() if at + _SLACK_NS >= stored.get(pack_key(pack), at)}
