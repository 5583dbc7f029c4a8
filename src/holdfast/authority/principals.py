"""Who acts: one immutable value, however they proved it. It holds nothing secret."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from holdfast.errors import UsageError

__all__ = ["Kind", "ROLES", "MEMBER_ROLES", "BREAK_GLASS_ROLE", "Grant", "Elevation", "Principal", "ANONYMOUS"]

Kind: TypeAlias = Literal["User", "ApiKey", "Machine", "Member", "Anonymous"]

ROLES: Final = MappingProxyType(
    {
        "trainer": "adds snapshots, and reads nothing: for training machines",
        "operator": "restores, verifies, replicates, plans and runs recoveries, approves those of others",
        "keeper": "looks after vaults: everything in them, dropping and keys too",
        "auditor": "sees names, facts and the audit log, proves that data is whole, and gets no content",
        "owner": "everything, but for what the rules forbid to everybody",
    }
)
"""Role → what it does, in words; the policies in `defaults/` say it exactly."""
MEMBER_ROLES: Final = ("member-writer", "member-reader", "member-keeper")
BREAK_GLASS_ROLE: Final = "break-glass"
"""Who has it may begin a break-glass session; it allows nothing besides."""

_NOUNS: Final = MappingProxyType(
    {"User": "user", "ApiKey": "API key", "Machine": "machine", "Member": "vault member", "Anonymous": ""}
)


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, perhaps for a time: from `since_ns` on, and before `until_ns` (nanoseconds since the epoch)."""

    role: str
    since_ns: int | None = None
    until_ns: int | None = None

    def is_active(self, now_ns: int) -> bool:
        return (self.since_ns is None or self.since_ns <= now_ns) and (self.until_ns is None or now_ns < self.until_ns)


@dataclass(frozen=True, slots=True)
class Elevation:
    """A break-glass session. `id` stands in every record of what is done under it."""

    id: str
    reason: str
    since_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody whose identity was proven.

    `id` is unique among its kind and stable. `person`: who stands behind it, the same for a person's token and for
    their API key; separation of duty compares persons. `how`: in words, how it was proven, without anything secret.
    `until_ns`: from then on it is denied everything. `scopes`: of an API key, actions and groups that it is limited to;
    None without such a limit. `vault`: of a member, the vault's id.
    """

    kind: Kind
    id: str
    name: str
    person: str
    how: str
    grants: tuple[Grant, ...] = ()
    groups: frozenset[str] = frozenset()
    attributes: tuple[tuple[str, str], ...] = ()
    scopes: frozenset[str] | None = None
    vault: str | None = None
    since_ns: int = 0
    until_ns: int | None = None
    elevation: Elevation | None = None

    def __post_init__(self) -> None:
        if not self.id or not self.person:
            raise UsageError("a principal has an id, and a person behind it")

    def __str__(self) -> str:
        return f"{_NOUNS[self.kind]} {self.name}".strip()

    def roles(self, now_ns: int) -> frozenset[str]:
        """The roles that it has at that time."""
        return frozenset(grant.role for grant in self.grants if grant.is_active(now_ns))

    def elevated(self, elevation: Elevation) -> Principal:
        """The same, in a break-glass session."""
        return replace(self, elevation=elevation)

    @property
    def uid(self) -> dict[str, str]:
        """As Cedar's JSON has it."""
        return {"type": self.kind, "id": self.id}

    def entity(self, now_ns: int) -> dict[str, Any]:
        """As Cedar's JSON has it, with the roles of that time."""
        attributes: dict[str, Any] = {"name": self.name, "person": self.person}
        if self.until_ns is not None:
            attributes["until"] = _datetime(self.until_ns)
        if self.kind == "ApiKey":
            attributes["limited"] = self.scopes is not None
            attributes["scopes"] = sorted(self.scopes or ())
        if self.kind == "Member":
            attributes["vault"] = {"__entity": {"type": "Vault", "id": self.vault or ""}}
        known = dict(self.attributes)
        attributes |= {name: known[name] for name in ("issuer", "email") if name in known and self.kind in _ISSUED}
        parents = [{"type": "Role", "id": role} for role in sorted(self.roles(now_ns))]
        parents += [{"type": "Group", "id": group} for group in sorted(self.groups)]
        return {"uid": self.uid, "attrs": attributes, "parents": parents}


_ISSUED: Final = ("User", "Machine")


def _datetime(time_ns: int) -> dict[str, Any]:
    from holdfast.clock import to_rfc3339

    return {"__extn": {"fn": "datetime", "arg": to_rfc3339(time_ns)}}


ANONYMOUS: Final = Principal(kind="Anonymous", id="nobody", name="nobody", person="nobody", how="without any identity")
"""Whoever comes without an identity: may read what is public, and copy what is sealed without opening it."""
