"""Which run begins by itself: decided once, by a majority of three fixed stores, whoever else believes the same.

The claims of an organisation are one series, `automatic/runs/<number>`, of places that are filled once
(`recovery.journal.slots`): at the first three sites of the file, one store each. Two that watch cannot both have the
next place, and each reads all earlier ones first, so the limits hold over both. With one of three sites away nothing
changes; with fewer than three sites all have to answer, or nothing begins by itself.

Who may only add objects can put anything into a place first. What is no document of a keeper, or is of one who was
revoked before, is nothing, and is gone past as in the journal of a run (`recovery.journal.deciding`). Where it cannot
be told whether a keeper signed, and where a keeper's claim cannot be read, nothing begins by itself.
"""

from __future__ import annotations

from typing import Final

import msgspec

from holdfast.clock import Clock
from holdfast.config.model import Recovery
from holdfast.control.incidents.documents import seal_signed
from holdfast.control.recovering.journals import landing_stores, signers_at
from holdfast.control.recovering.seals import VaultSeal
from holdfast.control.sites.declared import DeclaredSites
from holdfast.detection.limits import Begun, Limit, limit_problem
from holdfast.errors import ConflictError, DamageError, RefusedError, StoreUnreachableError
from holdfast.recovery.journal.deciding import NOTHING
from holdfast.recovery.journal.entries import VoidError
from holdfast.recovery.journal.slots import STORES_MAX, Slots
from holdfast.vault.format.keys import VaultKeys

__all__ = ["CLAIMS", "Claim", "Claims", "claim_stores", "decode_claim", "limits_of"]

CLAIMS: Final = "automatic/runs/"
_RACES_MAX: Final = 20
_CLAIMS_MAX: Final = 100_000
_TEXT_MAX: Final = 1024
_BYTES_MAX: Final = 1 << 16  # of an object: a claim with four texts of that size is half of it
_VOIDS_IN_A_ROW: Final = 4  # then more of them are expected


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
        stores = {name: sites.store(name).store for name in claim_stores(sites)}
        self._signers = signers_at(sites, stores)
        self._seal = VaultSeal(keys, self._signers)
        self._slots = Slots(list(stores.values()), CLAIMS, _BYTES_MAX)
        self._read: list[Claim | None] = []
        self._in_a_row = 0  # places up to the last that was read, which hold what is nothing
        self._judged_last: tuple[int, bytes, Claim | VoidError | None] | None = None

    def read(self) -> list[Claim]:
        """All that count, in their order. Raises StoreUnreachableError, ConflictError, DamageError where that is not
        to be known.
        """
        voids = 0
        try:
            while (stored := self._slots.look(len(self._read), void=self._is_void)) is not None:
                if len(self._read) >= _CLAIMS_MAX:
                    raise DamageError("there are more claims than runs that ever began", object_name=CLAIMS)
                voids += stored == NOTHING
                self._take(stored)
        except (StoreUnreachableError, ConflictError) as error:
            unknown = ConflictError if isinstance(error, ConflictError) else StoreUnreachableError
            raise unknown(f"what began by itself before cannot be known: {error.message}", hint=error.hint) from error
        if voids:
            self._sites.progress.note(f"{voids} places of {CLAIMS} hold what no keeper signed, and count for nothing")
        return [claim for claim in self._read if claim is not None]

    def problem(self, name: str) -> str:
        """Why no further run of this recovery may begin now; empty: it may. Raises as `read`."""
        return self._problem(name, self.read())

    def _problem(self, name: str, claims: list[Claim]) -> str:
        own, of_all = limits_of(self._sites, self._sites.config.recoveries[name])
        begun = [Begun(recovery=claim.recovery, at=claim.at) for claim in claims]
        return limit_problem(begun, name, own, of_all, self._clock.now_ns())

    def claim(self, name: str, incident: str, plan: str) -> Claim:
        """From now on this run is the one. Raises RefusedError for the limits, or where the incident has its run, and
        as `read`.
        """
        races = 0
        while races < _RACES_MAX:
            before = self.read()  # once: both answers are about the places before the one that is filled next
            why = self._problem(name, before)
            if why:
                raise RefusedError(f"no further run of {name} begins by itself: {why}")
            if (other := _of(before, name, incident)) is not None:
                raise RefusedError(f"{other.by} claimed the run of {name} for {incident}: one incident, one run")
            claim = Claim(recovery=name, incident=incident, plan=plan, by=self._keys.label, at=self._clock.now_ns())
            number, body = len(self._read), msgspec.json.encode(claim, order="sorted")
            key = f"{CLAIMS}{number:010d}"
            decode_claim(key, body)  # what nobody can read must not be there for ever
            sealed = seal_signed(self._keys, key, body)
            self._signers.make_known(self._keys)
            filled = self._slots.fill(number, sealed, void=self._is_void)
            if filled == sealed:
                self._read.append(claim)
                self._in_a_row = 0
                return claim
            races += filled != NOTHING  # places that hold nothing are gone past, however many there are
        raise ConflictError("others claimed runs again and again meanwhile")

    def of(self, name: str, incident: str) -> Claim | None:
        """The one for this incident: its run may not have begun. Raises as `read`."""
        return _of(self.read(), name, incident)

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

    def _take(self, stored: bytes) -> None:
        """What the next place is filled with."""
        number, claim = len(self._read), None
        if stored != NOTHING:
            judged = self._judged(stored)
            claim = judged if isinstance(judged, Claim) else None
        self._in_a_row = self._in_a_row + 1 if stored == NOTHING else 0
        self._read.append(claim)
        if self._in_a_row >= _VOIDS_IN_A_ROW and not self._slots.has_read(number + 1):
            self._slots.read_ahead(number + 1)

    def _is_void(self, data: bytes) -> bool:
        """Whether these bytes are nothing at the next place, as every reader judges."""
        return data == NOTHING or isinstance(self._judged(data), VoidError)

    def _judged(self, data: bytes) -> Claim | VoidError | None:
        """What these bytes are at the next place; None: a keeper's that counts for nothing. The last one is kept:
        stores have the same. Raises DamageError, StoreUnreachableError where that cannot be told.
        """
        number, last = len(self._read), self._judged_last
        if last is None or (last[0], last[1]) != (number, data):
            last = self._judged_last = (number, data, self._opened(f"{CLAIMS}{number:010d}", data))
        return last[2]

    def _opened(self, key: str, data: bytes) -> Claim | VoidError | None:
        try:
            opened, signer = self._seal.opened(key, data)
        except VoidError as error:
            return error
        try:
            claim = decode_claim(key, opened.body)
        except DamageError as error:
            if signer.revoked is not None:
                return VoidError(error.message, object_name=key)
            raise DamageError(
                f"{key} cannot be read, and a keeper signed it ({signer.label!r}): {error.message}",
                hint="a later version of Holdfast may have written it: install that, or else revoke that keeper",
                object_name=key,
            ) from error
        if signer.revoked is not None and claim.at >= signer.revoked:
            return VoidError(f"{key} was signed by {signer.label!r} after that keeper was revoked", object_name=key)
        if claim.by != signer.label:
            self._sites.progress.note(f"{key} counts for nothing: {signer.label!r} signed it, for {claim.by!r}")
            return None
        return claim


def _of(claims: list[Claim], name: str, incident: str) -> Claim | None:
    return next((one for one in claims if (one.recovery, one.incident) == (name, incident)), None)


def decode_claim(key: str, body: bytes) -> Claim:
    """Raises DamageError."""
    try:
        claim = msgspec.json.decode(body, type=Claim)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(f"{key} holds no claim ({error})", object_name=key) from error
    if claim.at < 0 or any(len(text) > _TEXT_MAX for text in (claim.recovery, claim.incident, claim.plan, claim.by)):
        raise DamageError(f"{key} holds no claim: it says what cannot be", object_name=key)
    return claim
