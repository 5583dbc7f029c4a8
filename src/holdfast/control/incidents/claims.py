"""Which run begins by itself: decided once, by a majority of three fixed stores, whoever else believes the same.

The claims of an organisation are one series, `automatic/runs/<number>`, of places that are filled once
(`recovery.journal.slots`): at the first three sites of the file, one store each. Two that watch cannot both have the
next place, and each reads all earlier ones first, so the limits hold over both. With one of three sites away nothing
changes; with fewer than three sites all have to answer, or nothing begins by itself. What no keeper signed in its own
name is void.
"""

from __future__ import annotations

from typing import Final

import msgspec

from holdfast.clock import Clock
from holdfast.config.model import Recovery
from holdfast.control.incidents.documents import open_signed, seal_signed
from holdfast.control.recovering.journals import landing_stores
from holdfast.control.sites.declared import DeclaredSites
from holdfast.detection.limits import Begun, Limit, limit_problem
from holdfast.errors import ConflictError, DamageError, HoldfastError, RefusedError
from holdfast.recovery.journal.slots import STORES_MAX, Slots
from holdfast.vault.format.keys import VaultKeys

__all__ = ["CLAIMS", "Claim", "Claims", "claim_stores", "decode_claim", "limits_of"]

CLAIMS: Final = "automatic/runs/"
_RACES_MAX: Final = 20
_CLAIMS_MAX: Final = 100_000
_TEXT_MAX: Final = 1024


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`by` begins the run of this plan, for this incident. `plan`: its hash. `at`: ns."""

    recovery: str
    incident: str
    plan: str
    by: str
    at: int


def claim_stores(sites: DeclaredSites) -> list[str]:
    """Of the first three sites where snapshots come first, one store each, in the order of the file."""
    chosen: dict[str, str] = {}
    for name in landing_stores(sites):
        chosen.setdefault(name.partition("/")[0], name)
    order = [site for site in sites.config.sites if site in chosen]
    return [chosen[site] for site in order[:STORES_MAX]]


def limits_of(sites: DeclaredSites, recovery: Recovery) -> tuple[Limit, Limit]:
    """Its own, and that of all together."""
    automatic, detect = recovery.automatic, sites.config.detect
    assert automatic is not None
    own = Limit(at_most=automatic.at_most, within_s=automatic.within, cooldown_s=automatic.cooldown)
    return own, Limit(at_most=detect.at_most, within_s=detect.within)


class Claims:
    """As whoever holds these keys sees and makes them."""

    def __init__(self, sites: DeclaredSites, keys: VaultKeys, clock: Clock) -> None:
        self._sites, self._keys, self._clock = sites, keys, clock
        self._slots = Slots([sites.store(name).store for name in claim_stores(sites)], CLAIMS)
        self._read: list[Claim | None] = []

    def read(self) -> list[Claim]:
        """All that count, in their order. Raises StoreUnreachableError, ConflictError where that is not to be known."""
        while (stored := self._slots.look(len(self._read))) is not None:
            self._read.append(self._opened(len(self._read), stored))
            if len(self._read) >= _CLAIMS_MAX:
                raise DamageError("there are more claims than runs that ever began", object_name=CLAIMS)
        return [claim for claim in self._read if claim is not None]

    def problem(self, name: str) -> str:
        """Why no further run of this recovery may begin now; empty: it may. Raises as `read`."""
        own, of_all = limits_of(self._sites, self._sites.config.recoveries[name])
        begun = [Begun(recovery=claim.recovery, at=claim.at) for claim in self.read()]
        return limit_problem(begun, name, own, of_all, self._clock.now_ns())

    def claim(self, name: str, incident: str, plan: str) -> Claim:
        """From now on this run is the one. Raises RefusedError for the limits, and as `read`."""
        for _ in range(_RACES_MAX):
            why = self.problem(name)
            if why:
                raise RefusedError(f"no further run of {name} begins by itself: {why}")
            claim = Claim(recovery=name, incident=incident, plan=plan, by=self._keys.label, at=self._clock.now_ns())
            number = len(self._read)
            sealed = seal_signed(self._keys, f"{CLAIMS}{number:010d}", msgspec.json.encode(claim, order="sorted"))
            if self._slots.fill(number, sealed) == sealed:
                self._read.append(claim)
                return claim
        raise ConflictError("others claimed runs again and again meanwhile")

    def of(self, name: str, incident: str) -> Claim | None:
        """The one for this incident: its run may not have begun. Raises as `read`."""
        return next((one for one in self.read() if (one.recovery, one.incident) == (name, incident)), None)

    def within_limits(self, plan: str) -> Claim | None:
        """The claim of this plan, if those before it allowed it: when it was made as it says, or now, if that is to
        come. Raises as `read`.
        """
        begun: list[Begun] = []
        for claim in self.read():
            recovery = self._sites.config.recoveries.get(claim.recovery)
            if claim.plan == plan and recovery is not None and recovery.automatic is not None:
                own, of_all = limits_of(self._sites, recovery)
                at = min(claim.at, self._clock.now_ns())
                return None if limit_problem(begun, claim.recovery, own, of_all, at) else claim
            begun.append(Begun(recovery=claim.recovery, at=claim.at))
        return None

    def _opened(self, number: int, stored: bytes) -> Claim | None:
        key = f"{CLAIMS}{number:010d}"
        try:
            body, label, revoked = open_signed(self._keys, key, stored)
            claim = decode_claim(key, body)
        except HoldfastError as error:
            self._sites.progress.note(f"{key} counts for nothing: {error.message}")
            return None
        return claim if claim.by == label and (revoked is None or claim.at < revoked) else None


def decode_claim(key: str, body: bytes) -> Claim:
    """Raises DamageError."""
    try:
        claim = msgspec.json.decode(body, type=Claim)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(f"{key} holds no claim ({error})", object_name=key) from error
    if claim.at < 0 or any(len(text) > _TEXT_MAX for text in (claim.recovery, claim.incident, claim.plan, claim.by)):
        raise DamageError(f"{key} holds no claim: it says what cannot be", object_name=key)
    return claim
