"""Where the bytes went: by mechanism, counted from what lies on a surviving site."""

from __future__ import annotations

from holdfast.drills.story.sites import DemoSite
from holdfast.evidence.record_outcome import ByteRow, Bytes, Shipped
from holdfast.ids import ChunkId
from holdfast.vault.codecs import Codec
from holdfast.vault.format.records import Root
from holdfast.vault.restoring.restore import snapshot_entries
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.vault import Vault

__all__ = ["count_bytes"]


def count_bytes(vault: Vault, roots: list[Root], site: DemoSite, shipped: list[Shipped]) -> Bytes:
    """Every chunk of the snapshots, oldest first: stored by one of the codecs when first met, deduplicated after
    that.
    """
    before: dict[str, list[int]] = {name: [0, 0, 0] for name in ("dedup", "delta", "planes", "zstd", "raw")}
    met: set[ChunkId] = set()
    for root in sorted(roots, key=lambda root: root.id):
        for entry in snapshot_entries(vault.handle, root):
            for _, length, chunk, _ in entry_chunks(entry):
                located = vault.handle.index.find(chunk)
                first = chunk not in met and located is not None
                row = before[Codec(located.place.codec).name.lower() if first and located is not None else "dedup"]
                row[0] += 1
                row[1] += length
                row[2] += located.place.stored if first and located is not None else 0
                met.add(chunk)
    rows = tuple(
        ByteRow(mechanism=name, chunks=chunks, bytes_before=raw, bytes_after=stored)
        for name, (chunks, raw, stored) in before.items()
        if chunks
    )
    overhead = max(0, site.stored_bytes() - sum(row.bytes_after for row in rows))
    return Bytes(rows=rows, overhead_bytes=overhead, shipped=tuple(shipped))
