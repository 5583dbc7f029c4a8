"""Everything that can be allowed or denied: each verb of Holdfast, the groups that it is in, what it is done to.

A policy names an action (`Action::"restore"`) or a group of them (`Action::"reading"`).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, NamedTuple

from holdfast.errors import UsageError

__all__ = ["Action", "ACTIONS", "GROUPS", "EMERGENCY", "action_named"]

EMERGENCY: Final = "emergency"

GROUPS: Final = MappingProxyType(
    {
        "looking": "seeing what there is: names, sizes, times, plans, reports",
        "reading": "getting content out of a vault",
        "verifying": "reading content to prove that it is whole, without getting it",
        "adding": "storing more, and pointing at it",
        "protecting": "making sure that what is stored stays, or comes back",
        "destroying": "whatever makes content go, or lets it go sooner",
        "keys": "who can open a vault, or write to it",
        "recovering": "plans, their approval, runs and drills",
        "auditing": "reading the audit log",
        "logging": "writing the audit log",
        "governing": "identities, policies, sites",
        EMERGENCY: "what break-glass opens: nothing that destroys, no keys, no policies",
    }
)
"""Group → what is in it."""

_VAULT, _ASSET, _SNAPSHOT, _PLAN, _SITE, _PLANE = "Vault", "Asset", "Snapshot", "Plan", "Site", "Plane"


class Action(NamedTuple):
    """One thing that somebody may be allowed to do.

    `groups`: the first is its own, the others cut across. `resources`: kinds of `authority.resources`. `phrase`:
    what a sentence says after "to", before the resource.
    """

    name: str
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    phrase: str


def _actions(
    group: str, *rows: tuple[str, tuple[str, ...], str], emergency: bool | tuple[str, ...] = False
) -> list[Action]:
    found = []
    for name, resources, phrase in rows:
        cuts_across = emergency if isinstance(emergency, bool) else name in emergency
        found.append(Action(name, (group, EMERGENCY) if cuts_across else (group,), resources, phrase))
    return found


_CONTENT = (_VAULT, _ASSET, _SNAPSHOT)

ACTIONS: Final = MappingProxyType(
    {
        action.name: action
        for action in [
            *_actions(
                "looking",
                ("vault.info", (_VAULT,), "see the facts of"),
                ("list", (_VAULT, _ASSET), "list the snapshots of"),
                ("show", _CONTENT, "see the manifest of"),
                ("diff", _CONTENT, "compare"),
                ("retention.plan", (_VAULT, _ASSET), "plan what may go from"),
                ("objective.show", (_PLANE, _VAULT, _ASSET), "see the objectives of"),
                ("site.list", (_PLANE, _SITE), "see the sites of"),
                ("recover.list", (_PLANE, _VAULT), "see the recoveries of"),
                ("recover.review", (_PLAN,), "review"),
                ("drill.report", (_PLANE, _VAULT, _PLAN), "see the drills of"),
                ("incident.show", (_PLANE, _VAULT), "see the incidents of"),
                ("work.show", (_PLANE, _VAULT), "see the work of"),
                ("policy.read", (_PLANE,), "read the policies of"),
                emergency=True,
            ),
            *_actions(
                "reading",
                ("read", _CONTENT, "read from"),
                ("restore", _CONTENT, "restore"),
                emergency=True,
            ),
            *_actions(
                "verifying",
                ("verify", _CONTENT, "verify"),
                ("vault.check", (_VAULT,), "check"),
                emergency=True,
            ),
            *_actions(
                "adding",
                ("vault.create", (_VAULT,), "create"),
                ("save", (_ASSET,), "save"),
                ("tag", (_ASSET, _SNAPSHOT), "tag"),
                ("quarantine", (_ASSET, _SNAPSHOT), "set aside"),
                ("release", (_ASSET, _SNAPSHOT), "release from quarantine"),
                ("replicate", (_VAULT, _ASSET), "copy to another site"),
                emergency=("save", "quarantine", "replicate"),
            ),
            *_actions(
                "protecting",
                ("hold", (_ASSET, _SNAPSHOT), "hold"),
                ("lock", (_VAULT,), "lock, or extend the locks of,"),
                ("repair", (_VAULT,), "repair"),
                ("versions.recover", (_VAULT,), "bring back older versions of the objects of"),
                emergency=True,
            ),
            *_actions(
                "destroying",
                ("drop", (_ASSET, _SNAPSHOT), "drop"),
                ("unhold", (_ASSET, _SNAPSHOT), "end the hold of"),
                ("collect", (_VAULT,), "free what nothing needs in"),
                ("retention.apply", (_VAULT, _ASSET), "apply retention to"),
                ("unlock", (_VAULT,), "end or shorten the locking of what is saved to"),
            ),
            *_actions(
                "keys",
                ("key.export-keeper", (_VAULT,), "admit a keeper to"),
                ("key.export-writer", (_VAULT,), "admit a writer to"),
                ("key.export-reader", (_VAULT,), "admit a reader to"),
                ("key.add-recipient", (_VAULT,), "add a recipient to"),
                ("key.remove-recipient", (_VAULT,), "remove a recipient from"),
                ("key.revoke", (_VAULT,), "revoke a member of"),
                ("key.rotate", (_VAULT,), "rotate the keys of"),
                ("key.reseal", (_VAULT,), "seal anew the packs of"),
                ("key.split", (_VAULT,), "split a key of"),
            ),
            *_actions(
                "recovering",
                ("recover.plan", (_PLAN,), "plan"),
                ("recover.run", (_PLAN,), "run"),
                ("recover.resume", (_PLAN,), "resume"),
                ("recover.adopt", (_PLAN,), "adopt"),
                ("approve", (_PLAN,), "approve"),
                ("drill.run", (_PLAN,), "drill"),
                ("drill.stop", (_PLANE, _VAULT), "stop the drills of"),
                ("incident.change", (_PLANE, _VAULT), "acknowledge or resolve incidents of"),
                ("work.change", (_PLANE, _VAULT), "queue or cancel work of"),
                emergency=(
                    "recover.plan",
                    "recover.run",
                    "recover.resume",
                    "recover.adopt",
                    "drill.stop",
                    "incident.change",
                ),
            ),
            *_actions(
                "auditing",
                ("audit.show", (_VAULT,), "read the audit log of"),
                ("audit.verify", (_VAULT,), "verify the audit log of"),
                ("audit.prove", (_VAULT,), "take proofs from the audit log of"),
                emergency=True,
            ),
            *_actions(
                "logging",
                ("audit.append", (_VAULT,), "append to the audit log of"),
                ("audit.create", (_VAULT,), "create the audit log of"),
                ("audit.witness", (_VAULT,), "witness the audit log of"),
                emergency=("audit.append",),
            ),
            *_actions(
                "governing",
                ("policy.change", (_PLANE,), "change the policies of"),
                ("api-key.create", (_PLANE,), "create API keys of"),
                ("api-key.list", (_PLANE,), "list the API keys of"),
                ("api-key.revoke", (_PLANE,), "revoke API keys of"),
                ("site.change", (_PLANE, _SITE, _VAULT), "change the sites of"),
                ("break-glass", (_PLANE,), "break the glass of"),
            ),
        ]
    }
)
"""Name → action, group by group."""


def action_named(name: str) -> Action:
    """Raises UsageError, with what was perhaps meant."""
    from difflib import get_close_matches

    action = ACTIONS.get(name)
    if action is None:
        close = get_close_matches(name[:80], ACTIONS, 1)
        raise UsageError(
            f"there is no action {name[:80]!r}",
            hint=f"is it {close[0]!r}?" if close else "`holdfast policy table` lists the actions",
        )
    return action
