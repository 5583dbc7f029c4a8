"""What the plot learns while it goes on, for the record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from holdfast.drills.story.accounting import count_bytes
from holdfast.drills.story.sites import ASSET, DemoSite, Stage
from holdfast.evidence.record_outcome import Bytes, Shipped
from holdfast.trust.signing import SigningKey
from holdfast.vault.checking.verifying import Verified
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.finding import list_roots
from holdfast.vault.vault import Vault

__all__ = ["Facts", "Point"]


class Point(NamedTuple):
    """The chosen recovery point: site and snapshot."""

    site: str
    root: Root


@dataclass
class Facts:
    """Times are nanoseconds since the epoch; `seen` maps (site, snapshot id) to seconds since the demo began."""

    stage: Stage
    signer: SigningKey = field(repr=False)
    fault_ns: int
    fault_step: int
    caught_step: int
    caught_unfinished: bool
    half_written_bytes: int
    shipped: dict[str, int]
    seen: dict[tuple[str, str], float]
    roots: dict[str, Root]
    held: dict[str, set[str]] = field(default_factory=dict)  # snapshot id → surviving sites that hold it
    rejected: dict[str, str] = field(default_factory=dict)  # site → why it was not considered
    point: Point | None = None
    tokens_per_step: int = 0
    restored_digest: str = ""
    reference_digest: str = ""
    final_digest: str = ""
    final_reference: str = ""
    compared_losses: list[tuple[int, float, float]] = field(default_factory=list)
    verified_chunks: Verified | None = None
    copies_verified: dict[str, Verified | None] = field(default_factory=dict)
    bytes_moved: Bytes | None = None
    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def count(self, vault: Vault, site: DemoSite) -> None:
        """Count the bytes that lie at the recovery site in the end."""
        roots = [listed.root for listed in list_roots(vault.handle, ASSET) if listed.root is not None]
        shipped = [Shipped(site=name, bytes_sent=sent) for name, sent in self.shipped.items()]
        self.bytes_moved = count_bytes(vault, roots, site, shipped)
