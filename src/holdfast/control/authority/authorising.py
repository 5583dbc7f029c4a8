"""Who acts, and whether they may: the one place where commands and services ask, and where the answers are recorded.

Without policies, tokens or API keys of its own, an installation works by the keys of a vault's members: the default
policies permit to each member what its keys can do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from holdfast.authority.actions import action_named
from holdfast.authority.break_glass import Session, banner, begin_session, elevated_by
from holdfast.authority.deciding import Circumstances, Decision, decide, roles_that_may
from holdfast.authority.principals import Principal
from holdfast.authority.resources import PLANE, Resource
from holdfast.control.authority import identifying
from holdfast.control.authority.acting import Noted, acting_for, note_decision
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.control.authority.decision_log import (
    DecisionLog,
    DecisionRecord,
    LocalDecisions,
    decision_record,
    denial_record,
)
from holdfast.control.authority.emergency import end_session, in_session, keep_session, session_of
from holdfast.control.authority.identifying import Member, member_of
from holdfast.errors import CredentialError, HoldfastError, PermissionDeniedError, RefusedError

__all__ = ["Authority", "Member", "member_of"]

_SAFETY = ("held-snapshot",)


@dataclass
class Authority:
    """An installation's answer to who may do what. `logs`: besides the local file, such as the vault's audit log.

    `origin`: where requests come from, for the records (`cli`, `api`, …).
    """

    home: AuthorityHome
    logs: list[DecisionLog] = field(default_factory=list)
    origin: str = "cli"
    _told: set[str] = field(default_factory=set, repr=False)

    def identify(self, member: Member | None = None) -> Principal:
        """Whom a service acts for (`acting_as`); else whoever the environment names: by a token, else an API key, else
        as a member of the vault, else nobody.

        Where a break-glass session of theirs is in force, they act in it. Raises CredentialError, which is recorded.
        """
        served = acting_for()
        if served is not None:  # identified already, and not by what the service itself was started with
            return served
        try:
            found = in_session(self.home, identifying.by_environment(self.home, member))
        except CredentialError as error:
            self._refused(error)
            raise
        return self._announced(found)

    def identify_bearer(self, token: bytes) -> Principal:
        """For a service: what followed `Authorization: Bearer`, a token or an API key. Raises CredentialError."""
        by = identifying.by_api_key if token.startswith(b"hfk_") else identifying.by_token
        try:
            found = in_session(self.home, by(self.home, token))
        except CredentialError as error:
            self._refused(error)
            raise
        return self._announced(found)

    def identify_certificate(self, chain: Sequence[bytes]) -> Principal:
        """For a service: the client's chain (DER) of a TLS connection. Raises CredentialError."""
        try:
            found = in_session(self.home, identifying.by_certificate(self.home, chain))
        except CredentialError as error:
            self._refused(error)
            raise
        return self._announced(found)

    def authorise(
        self, principal: Principal | None, action: str, resource: Resource, *, to: Resource | None = None
    ) -> Decision:
        """The decision, recorded, if it is to allow; `to`: the site that a copy or a recovery goes to.

        Raises PermissionDeniedError when it is to deny (also recorded), UsageError for an action that is not known,
        RefusedError when the resource is held, or when what is done under break-glass could not be recorded anywhere.
        """
        now = self.home.clock.now_ns()
        try:
            decision = self.home.decided(principal, action, resource, to, now)
        except CredentialError as error:
            self._refused(error)
            raise
        context = Circumstances(now, to)
        note_decision(Noted(principal, action, resource, to, decision.allowed))
        if principal is None:
            self._record(denial_record(decision.reasons[0], at_ns=now, origin=self.origin), required=False)
        else:
            entry = decision_record(principal, action, resource, decision, at_ns=now, origin=self.origin)
            self._record(entry, required=principal.elevation is not None)
        if not decision.allowed:
            raise _denied(principal, action, resource, decision, context)
        return decision

    def break_glass(self, principal: Principal, reason: str, *, lasts: str) -> Session:
        """Begin a session of this principal. It is recorded before it is in force.

        Raises UsageError (a reason that says nothing, too long), PermissionDeniedError (not listed), RefusedError.
        """
        longest = self.home.settings.break_glass.longest
        session = begin_session(principal, reason, lasts=lasts, longest=longest, now_ns=self.home.clock.now_ns())
        self.authorise(principal, "break-glass", PLANE)
        now = self.home.clock.now_ns()
        decision = decide(self.home.in_force.policies, principal, "break-glass", PLANE, Circumstances(now))
        elevated = elevated_by(principal, session, now)
        entry = decision_record(elevated, "break-glass.begin", PLANE, decision, at_ns=now, origin=self.origin)
        self._record(entry, required=True)
        keep_session(self.home, session)
        self._announced(elevated)
        return session

    def end_break_glass(self) -> Session | None:
        """End the session of this machine, if there is one. It is recorded, too."""
        ended = end_session(self.home)
        if ended is not None:
            by = Principal(
                kind="Anonymous", id=ended.principal, name=ended.person, person=ended.person, how="its session"
            )
            end = Decision(True, (), ("the session was ended on its machine",))
            now = self.home.clock.now_ns()
            entry = decision_record(by, "break-glass.end", PLANE, end, at_ns=now, origin=self.origin)
            about = {"id": ended.id, "reason": ended.reason}
            self._record(msgspec.structs.replace(entry, break_glass=about), required=False)
        return ended

    def findings(self) -> list[str]:
        """What somebody should look at: sentences."""
        found = []
        in_force = self.home.in_force
        if in_force.problem is not None:
            found.append(f"{in_force.problem.message}: the policies that were good before are in force")
        try:
            session = session_of(self.home)
        except CredentialError as error:
            found.append(f"{error.message}: no break-glass session is in force")
            session = None
        if session is not None and session.until > self.home.clock.now_ns():
            found.append(f"the break-glass session {session.id} of {session.person} is in force: {session.reason}")
        return found

    def _announced(self, principal: Principal) -> Principal:
        text = banner(principal)
        if text and text not in self._told:
            self._told.add(text)
            self.home.progress.note(text)
        return principal

    def _refused(self, error: CredentialError) -> None:
        now = self.home.clock.now_ns()
        self._record(denial_record(error.message, at_ns=now, origin=self.origin), required=False)

    def _record(self, entry: DecisionRecord, *, required: bool) -> None:
        """To the local file, and to all other logs; loud where one fails, and without one no break-glass."""
        state = self.home.state
        logs: list[DecisionLog] = [*([LocalDecisions(state)] if state is not None else []), *self.logs]
        kept = 0
        for log in logs:
            try:
                log.record(entry, required=required)
                kept += 1
            except HoldfastError as error:
                self.home.progress.note(f"a decision was not recorded: {error.message}")
        if required and not kept:
            raise RefusedError(
                "nothing is done under break-glass that cannot be recorded",
                hint="set XDG_STATE_HOME to a folder that can be written to",
            )


def _denied(
    principal: Principal | None, action: str, resource: Resource, decision: Decision, context: Circumstances
) -> HoldfastError:
    act = action_named(action)
    why = "; ".join(decision.reasons)
    who = str(principal) if principal is not None else "nobody"
    roles = roles_that_may(act, resource, context) if not decision.policies else []
    hint = f"roles that may: {', '.join(roles)}" if roles else "`holdfast policy explain` says more"
    message = why if why.startswith("no policy") else f"{who} may not {act.phrase} {resource}: {why}"
    name = f"{resource.kind}:{resource.name}"
    if decision.policies == _SAFETY:  # nobody lacks a permission: the thing itself is in the way
        return RefusedError(message, hint="end the hold first: `holdfast snapshot unhold`", object_name=name)
    return PermissionDeniedError(message, hint=hint, object_name=name)
