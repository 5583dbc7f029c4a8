"""What every route says of itself: the action of the policies that it is, and what that is done to.

A route without such a word does not come into being: `create_app` refuses it. ::

    @get("/assets/{asset:str}", opt=needs("show", on="asset"))
    @get("/health/live", opt=open_to_all("a balancer asks it, and it tells nothing"))
    @post("/session/end", opt=signed_in("whoever is signed in may sign out"))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from holdfast.authority.actions import action_named
from holdfast.authority.resources import PLANE, Resource, asset_resource, plan_resource, site_resource

if TYPE_CHECKING:
    from holdfast.control.service.context import Service

__all__ = ["KEY", "Need", "On", "needs", "open_to_all", "resource_of", "signed_in"]

KEY: Final = "policy"
On: TypeAlias = Literal["plane", "vault", "asset", "plan", "site"]
_KINDS: Final = {"plane": "Plane", "vault": "Vault", "asset": "Asset", "plan": "Plan", "site": "Site"}
_ELSE: Final = "somebody else"


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """`action`: empty for a route that is `open` to everybody, or to whoever is signed in; `reason` says why it is.

    `name`: the part of the path that names what `on` is. Of a plan, initiator and approvals are not known before the
    verb reads its journal: here is asked whether the principal could do it at all, the verb asks again.
    """

    action: str = ""
    on: On = "plane"
    name: str = ""
    open: bool = False
    reason: str = ""

    @property
    def is_supposed(self) -> bool:
        """Whether the verb itself asks again, with facts that are not known before."""
        return self.on == "plan"


def needs(action: str, *, on: On = "plane", name: str = "") -> dict[str, Any]:
    """`opt` of a route. Raises UsageError for an action that is not known, or is not done to that."""
    from holdfast.errors import UsageError

    if _KINDS[on] not in action_named(action).resources:
        raise UsageError(f"{action} is nothing that is done to a {on}")
    return {KEY: Need(action=action, on=on, name=name or ({"plan": "run"}.get(on, on)))}


def open_to_all(reason: str) -> dict[str, Any]:
    """`opt` of a route that anybody reaches, without any identity."""
    return {KEY: Need(open=True, reason=reason)}


def signed_in(reason: str) -> dict[str, Any]:
    """`opt` of a route for whoever is identified, whatever their roles."""
    return {KEY: Need(reason=reason)}


def resource_of(need: Need, parts: Mapping[str, Any], service: Service) -> Resource:
    """What the request is about, by the parts of its path."""
    named = str(parts.get(need.name, "")) or "all"
    match need.on:
        case "plane":
            return PLANE
        case "vault":
            return service.vault_as_asked()
        case "asset":
            return asset_resource(service.vault_as_asked(), named)
        case "site":
            return site_resource(named)
        case "plan":
            return plan_resource(
                named, initiator=_ELSE, approvals=frozenset({"a third person"}), vault=service.vault_as_asked()
            )
