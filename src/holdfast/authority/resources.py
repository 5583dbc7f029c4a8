"""What something is done to, with the facts that policies may ask for: a vault, an asset, a snapshot, a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

__all__ = [
    "Kind",
    "Resource",
    "PLANE",
    "vault_resource",
    "asset_resource",
    "snapshot_resource",
    "site_resource",
    "plan_resource",
]

Kind: TypeAlias = Literal["Plane", "Vault", "Asset", "Snapshot", "Site", "Plan"]
Value: TypeAlias = str | bool

_NOUNS: Final = MappingProxyType(
    {"Plane": "", "Vault": "vault ", "Asset": "asset ", "Snapshot": "snapshot ", "Site": "site ", "Plan": "plan "}
)


@dataclass(frozen=True, slots=True)
class Resource:
    """`id` is unique among its kind. `attributes`: as the schema has them, without those that are not known."""

    kind: Kind
    id: str
    name: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    parent: Resource | None = None

    def __str__(self) -> str:
        return f"{_NOUNS[self.kind]}{self.name}"

    @property
    def uid(self) -> dict[str, str]:
        """As Cedar's JSON has it."""
        return {"type": self.kind, "id": self.id}

    def line(self) -> Iterator[Resource]:
        """Itself, then what it is in, outwards."""
        at: Resource | None = self
        while at is not None:
            yield at
            at = at.parent

    def entity(self) -> dict[str, Any]:
        """As Cedar's JSON has it."""
        parents = [self.parent.uid] if self.parent is not None else []
        return {"uid": self.uid, "attrs": dict(self.attributes), "parents": parents}


PLANE: Final = Resource("Plane", "holdfast", "this installation")
"""The installation itself: identities, policies, the list of sites."""


def _known(**attributes: Value | None) -> dict[str, Value]:
    return {name.rstrip("_"): value for name, value in attributes.items() if value is not None}


def vault_resource(
    vault_id: str, *, encrypted: bool, class_: str | None = None, jurisdiction: str | None = None, name: str = ""
) -> Resource:
    """`class_`: of the data (`training`, `dataset`, …). `name`: for sentences; the id by default."""
    attributes = _known(encrypted=encrypted, class_=class_, jurisdiction=jurisdiction)
    return Resource("Vault", vault_id, name or vault_id, attributes, PLANE)


def asset_resource(
    vault: Resource, asset: str, *, class_: str | None = None, jurisdiction: str | None = None
) -> Resource:
    """Where nothing is said, class and jurisdiction are the vault's."""
    attributes = _inherited(vault) | _known(name=asset, class_=class_, jurisdiction=jurisdiction)
    return Resource("Asset", f"{vault.id}/{asset}", asset, attributes, vault)


def snapshot_resource(asset: Resource, snapshot: str, *, held: bool, validated: bool | None = None) -> Resource:
    """`held`: somebody put a hold on it. Class and jurisdiction are the asset's."""
    attributes = _inherited(asset) | _known(asset=asset.name, held=held, validated=validated)
    return Resource("Snapshot", f"{asset.id}@{snapshot}", f"{asset.name}@{snapshot}", attributes, asset)


def site_resource(name: str, *, jurisdiction: str | None = None, cloud: str | None = None) -> Resource:
    """A place with stores."""
    return Resource("Site", name, name, _known(jurisdiction=jurisdiction, cloud=cloud), PLANE)


def plan_resource(
    plan: str,
    *,
    initiator: str,
    approvals: frozenset[str] = frozenset(),
    drill: bool = False,
    jurisdiction: str | None = None,
    vault: Resource | None = None,
) -> Resource:
    """`initiator` and `approvals` are persons (`Principal.person`). The initiator's own approval does not count.

    `vault`: whose data it recovers, where that is one: its keepers may do it.
    """
    approved = bool(approvals - {initiator})
    attributes = _known(initiator=initiator, approved=approved, drill=drill, jurisdiction=jurisdiction)
    return Resource("Plan", plan, plan, attributes, PLANE if vault is None else vault)


def _inherited(resource: Resource) -> dict[str, Value]:
    return {
        name: value for name, value in resource.attributes.items() if name in ("class", "jurisdiction", "encrypted")
    }
