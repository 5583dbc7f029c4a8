"""Who holds which key, and until when: members of the vault, its epochs, API keys. Never anything secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.clock import NANOSECONDS
from holdfast.control.service.reading.keeping import kept
from holdfast.control.service.reading.shapes import Freshness, Page, Problem, Time, attempt, clipped, time_of

if TYPE_CHECKING:
    from holdfast.authority.api_keys import KeyRecord
    from holdfast.control.service.context import Service

__all__ = ["ApiKeyShown", "EpochShown", "KeysPage", "MemberShown", "keys_page"]

_FRESH_S: Final = 30.0
_SOON_NS: Final = 14 * 86_400 * NANOSECONDS


class MemberShown(msgspec.Struct, frozen=True, kw_only=True):
    """Who may sign. `fingerprint`: of the public key. `state`: `valid` or `revoked`."""

    label: str
    role: str
    fingerprint: str
    added: Time
    revoked: Time | None
    state: str


class EpochShown(msgspec.Struct, frozen=True, kw_only=True):
    """A key pair that content is sealed to, and who can open it: ids of recipients."""

    number: int
    recipients: list[str]


class ApiKeyShown(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: `valid`, `ends soon`, `expired` or `revoked`. `scopes`: null: not limited."""

    label: str
    id: str
    person: str
    roles: list[str]
    scopes: list[str] | None
    created: Time | None
    expires: Time | None
    state: str


class KeysPage(Page, frozen=True, kw_only=True):
    """`server`: the label of the key that this server signs with; `vouches`: labels that may speak for people."""

    vault: str
    server: str
    vouches: list[str]
    members: list[MemberShown]
    epochs: list[EpochShown]
    api_keys: list[ApiKeyShown]
    freshness: list[Freshness]
    problem: Problem | None
    api_keys_problem: Problem | None


class _Vault(msgspec.Struct, frozen=True, kw_only=True):
    id: str = ""
    label: str = ""
    members: list[MemberShown] = []
    epochs: list[EpochShown] = []


def keys_page(service: Service) -> KeysPage:
    """The vault's configuration as it was opened last, and this installation's register of API keys."""
    told = kept(service, "keys", lambda: _vault(service), _Vault(), seconds=_FRESH_S)
    empty: list[ApiKeyShown] = []
    keys, problem = attempt(lambda: _api_keys(service), empty)
    return KeysPage(
        organisation=service.organisation,
        at=time_of(service.clock.now_ns()) or "",
        vault=told.value.id,
        server=told.value.label,
        vouches=list(service.loaded.config.serve.vouches),
        members=told.value.members,
        epochs=told.value.epochs,
        api_keys=keys,
        freshness=[told.freshness],
        problem=told.problem,
        api_keys_problem=problem,
    )


def _vault(service: Service) -> _Vault:
    from holdfast.trust.recipients import recipient_id
    from holdfast.trust.signing import fingerprint

    vault = service.vault()
    config = vault.handle.keys.config
    return _Vault(
        id=vault.id,
        label=clipped(vault.handle.keys.label),
        members=[
            MemberShown(
                label=clipped(one.label),
                role=clipped(one.role, 40),
                fingerprint=fingerprint(one.public),
                added=time_of(one.added) or "",
                revoked=time_of(one.revoked),
                state="valid" if one.revoked is None else "revoked",
            )
            for one in config.signers
        ],
        epochs=[
            EpochShown(number=one.number, recipients=[recipient_id(each.public) for each in one.recipients])
            for one in config.epochs
        ],
    )


def _api_keys(service: Service) -> list[ApiKeyShown]:
    from holdfast.authority.register import load_register

    now = service.clock.now_ns()
    register = load_register(service.authority().home.register)
    records = [] if register is None else register.keys
    return sorted((_api_key(one, now) for one in records), key=lambda one: (one.state == "revoked", one.label))


def _api_key(one: KeyRecord, now: int) -> ApiKeyShown:
    return ApiKeyShown(
        label=clipped(one.label),
        id=one.id,
        person=clipped(one.person),
        roles=list(one.roles),
        scopes=None if one.scopes is None else sorted(one.scopes),
        created=time_of(one.created),
        expires=time_of(one.expires),
        state=_state(one, now),
    )


def _state(one: KeyRecord, now: int) -> str:
    if one.revoked is not None:
        return "revoked"
    if one.expires is None:
        return "valid"
    if now >= one.expires:
        return "expired"
    return "ends soon" if one.expires - now < _SOON_NS else "valid"
