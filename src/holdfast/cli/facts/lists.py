"""Facts about many snapshots at once, and about what could not be read of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from holdfast.cli.facts.snapshots import pointers_of, snapshot_facts
from holdfast.cli.phrases import clean
from holdfast.cli.schemas.common import Damaged
from holdfast.cli.schemas.snapshots import SnapshotList
from holdfast.cli.schemas.vaults import AssetFacts
from holdfast.clock import to_rfc3339
from holdfast.errors import DamageError, HoldfastError, NotFoundError, UntrustedError
from holdfast.vault.format.records import Ref, Root
from holdfast.vault.snapshots.quarantine import marks_in
from holdfast.vault.snapshots.refs import LATEST, VALIDATED
from holdfast.vault.snapshots.roots import list_newest
from holdfast.vault.snapshots.thinning import Thinnings

if TYPE_CHECKING:
    from holdfast.vault.vault import Vault

__all__ = ["list_facts", "asset_facts"]


def list_facts(vault: Vault, asset: str | None, limit: int | None = None) -> SnapshotList:
    """The newest `limit` snapshots (of one asset), oldest first. Raises NotFoundError when the asset has none."""
    listed, older = (vault.snapshots(asset), 0) if limit is None else list_newest(vault.handle, asset, limit)
    if asset is not None and not listed:
        raise NotFoundError(
            f"asset {asset!r} has no snapshot in {vault.url}", hint="`holdfast vault info` lists the assets"
        )
    roots = [one.root for one in listed if one.root is not None]
    damaged = [_damaged(one.error, one.key) for one in listed if one.error is not None]
    refs = _refs_by_asset(vault, roots, damaged)
    thinnings = Thinnings(vault.handle, asset)
    marks = {name: marks_in(found) for name, found in refs.items()}
    return SnapshotList(
        vault=vault.id,
        url=vault.url,
        asset=asset,
        snapshots=[
            snapshot_facts(
                root, pointers_of(refs[root.asset], root.id), thinnings.of(root), marks[root.asset].get(root.id)
            )
            for root in roots
        ],
        older=older,
        damaged=damaged,
    )


def asset_facts(vault: Vault) -> tuple[list[AssetFacts], list[Damaged]]:
    """Every asset by name, and what could not be read."""
    listed = vault.snapshots()
    roots = [one.root for one in listed if one.root is not None]
    damaged = [_damaged(one.error, one.key) for one in listed if one.error is not None]
    refs = _refs_by_asset(vault, roots, damaged)
    return [_asset(name, [r for r in roots if r.asset == name], refs[name]) for name in sorted(refs)], damaged


def _asset(name: str, roots: list[Root], refs: Mapping[str, Ref]) -> AssetFacts:
    by_id = {root.id: root for root in roots}
    latest = by_id.get(refs[LATEST].target) if LATEST in refs else None
    validated = by_id.get(refs[VALIDATED].target) if VALIDATED in refs else None
    return AssetFacts(
        name=name,
        snapshots=len(roots),
        latest=latest.id if latest else None,
        latest_content=to_rfc3339(latest.content) if latest else None,
        validated=validated.id if validated else None,
        validated_content=to_rfc3339(validated.content) if validated else None,
    )


def _refs_by_asset(vault: Vault, roots: list[Root], damaged: list[Damaged]) -> dict[str, Mapping[str, Ref]]:
    refs: dict[str, Mapping[str, Ref]] = {}
    for asset in {root.asset for root in roots}:
        try:
            refs[asset] = vault.tags(asset)
        except (DamageError, UntrustedError) as error:
            refs[asset] = {}
            damaged.append(_damaged(error, f"the pointers of {asset!r}"))
    return refs


def _damaged(error: HoldfastError, name: str) -> Damaged:
    return Damaged(object=clean(error.object_name or name), message=clean(error.message))
