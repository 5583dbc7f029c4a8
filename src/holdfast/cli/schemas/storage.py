"""Where the bytes of a snapshot went: what `snapshot show --codecs` adds."""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast.cli.schemas.common import Bytes, Count

__all__ = ["CostFacts", "TensorCostFacts", "RestoreReads", "AnchorFacts", "DisagreementFacts", "StorageFacts"]


class CostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one thing takes: a mechanism, a component, a dtype, a file, or all of it.

    `bytes` is what restoring gives, `stored_bytes` what lies on the store for it. Of both, `new_` is what this snapshot
    added; the rest was there before. `chunks` are those that hold some of it.
    """

    name: str
    chunks: Count
    bytes: Bytes
    stored_bytes: Bytes
    new_bytes: Bytes
    new_stored_bytes: Bytes


class TensorCostFacts(CostFacts, frozen=True, kw_only=True):
    """The same of a tensor; chunks that hold several tensors are divided among them by their bytes."""

    file: str


class RestoreReads(msgspec.Struct, frozen=True, kw_only=True):
    """What restoring all of the snapshot reads: its chunks, and the `bases` of deltas that are not among them; and the
    packs that they lie in, with all that these hold. Each chunk counts once.
    """

    chunks: Count
    stored_bytes: Bytes
    deltas: Count
    delta_stored_bytes: Bytes
    bases: Count
    base_stored_bytes: Bytes
    packs: Count
    pack_bytes: Bytes


class AnchorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Anchors that have deltas, and how many deltas were stored to each so far, in the mean."""

    anchors: Count
    mean_deltas: Annotated[float, msgspec.Meta(ge=0)]


class DisagreementFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that the save took down (`stats` of the root), where counting now gives another one."""

    figure: str
    at_save: int
    now: int


class StorageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Where the bytes went, taken apart in several ways, the dearest first. Each list adds up to `total` but for
    `chunks`, and `tensors`, which leave out what lies in none.

    `mechanisms`: `delta`, `planes`, `zstd`, `raw` (codecs), `repeated` (a chunk that occurred before in this snapshot),
    `hole`, `missing` (in no pack that the index knows). `overhead_bytes`: what the save stored besides chunks.
    `anchors` is null where this machine does not remember them: it knows those of its last save of the asset.
    """

    total: CostFacts
    mechanisms: list[CostFacts]
    components: list[CostFacts]
    dtypes: list[CostFacts]
    files: list[CostFacts]
    tensors: list[TensorCostFacts]
    overhead_bytes: Bytes
    restoring: RestoreReads
    anchors: AnchorFacts | None
    disagreements: list[DisagreementFacts]
