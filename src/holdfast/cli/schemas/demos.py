"""Output of `holdfast demo`. The whole record is in `evidence.json`; this is what a script wants to know."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Bytes, Count, Record, Seconds

__all__ = ["Mechanism", "Recovery", "DemoPlayed"]


class Mechanism(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of the source that one mechanism (dedup, delta, planes, zstd, raw) dealt with, and what they take."""

    name: str
    bytes: Bytes
    stored_bytes: Bytes


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What the recovery cost. Seconds; null where it was not measured."""

    site: str
    snapshot: str
    rpo: Seconds | None
    steps_lost: Count | None
    rto: Seconds | None
    detect: Seconds | None
    decide: Seconds | None
    execute: Seconds | None
    verify: Seconds | None


class DemoPlayed(Record, frozen=True, kw_only=True, tag="holdfast/demo/1"):
    """`demo`: `state` is that of the objective (MET, MISSED, NOT_MEASURED, INVALID); `outcome` that of the drill.

    Targets are null where the objective sets none. `evidence` is the signed record, `page` the same for people;
    `sha256` is of the former, `signer` the fingerprint of the key that signed it.
    """

    state: str
    outcome: str
    headline: str
    rpo_target: Seconds | None
    rto_target: Seconds | None
    copies_target: Count | None
    copies: Count | None
    recovery: Recovery
    bit_identical: bool
    mechanisms: list[Mechanism]
    overhead_bytes: Bytes
    evidence: str
    page: str
    sha256: str
    signer: str
