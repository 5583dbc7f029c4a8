"""The lever that stops all drills of an organisation: signed notices at every store that answers.

Whoever drills looks before it begins, and every two seconds while it lasts: one store that shows a stop which no
release names is enough. What was heard lies on this machine, too (`drills.lever`), and counts on when no store answers.
A store that hides what lies there (too many objects, or some that cannot be read) counts as one that shows a stop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

import msgspec

from holdfast.clock import to_rfc3339
from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.authority.guarding import guard
from holdfast.control.drilling.stop_notices import RELEASES, STOPS, Release, Stop, decode_release, decode_stop
from holdfast.control.incidents.documents import HERE, Documents, Found, T, new_name
from holdfast.control.recovering.asking import ask, speaker
from holdfast.control.recovering.opening import open_anywhere
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.telling import Place
from holdfast.drills.lever import Lever
from holdfast.errors import HoldfastError, PermissionDeniedError, RefusedError, UsageError
from holdfast.vault.vault import Vault

__all__ = ["Looked", "Pulled", "StoreLever", "looking_at_stores", "release_all", "require_may_stop", "stop_all"]

_EVERY_S: Final = 2.0
_NAMED_MAX: Final = 500  # stops in one release
_REASON_MAX: Final = 500
_NO_REASON: Final = "no reason was given"


class Looked(NamedTuple):
    """`why`: drills are to stop; empty: no store that answers says so. `silent`: places that did not answer."""

    why: str
    silent: Mapping[str, str]


class Pulled(NamedTuple):
    """`places`: stores that know of it by now; `silent`: others, and why they do not."""

    places: tuple[str, ...]
    silent: Mapping[str, str]
    stops: int = 1


class _Notices(Documents[T]):
    """Where an organisation has only stripes they lie at the single stores of its first set, as journals do."""

    _single: DeclaredAsset | None = None

    def at(self, asset: DeclaredAsset | None) -> _Notices[T]:
        self._single = asset
        return self

    def places(self) -> list[Place]:
        found = super().places()
        if self._single is not None:
            names = [self._single.at(site) for site in self._single.placement.sites]
            found = [one for one in found if one.name == HERE]
            found += [Place(name, "", self._sites.store(name).store) for name in names]
        return found


class StoreLever:
    """As whoever opened the vault sees and moves it. Raises what opening the vault raises."""

    def __init__(self, sites: DeclaredSites, vault: Vault | None = None) -> None:
        """`vault`: that of an asset which does not lie in stripes; None: it is opened."""
        whole = [asset for asset in sites.assets.values() if not asset.set_name]
        first = None if whole else next(iter(sites.assets.values()), None)
        if vault is None or first is not None:
            vault = open_anywhere(sites, whole or ([first] if first is not None else []))
        self.vault = vault
        self._sites, keys = sites, vault.handle.keys
        self._here = Lever(sites.environment)
        self._stops = _Notices(sites, keys, STOPS, decode_stop, _by_at, keeper=False).at(first)
        self._releases = _Notices(sites, keys, RELEASES, decode_release, _by_at).at(first)

    def look(self, *, spread: bool = False) -> Looked:
        """What the stores say, remembered on this machine. `spread`: what stores lack that do answer is brought there,
        else to this machine alone. Raises FailedError where it cannot be remembered.
        """
        stops, releases, hidden, silent = self._read()
        lifted = {name for one in releases for name in one.what.over}
        open_ones = {one.what.id: _told(one.what) for one in stops if one.what.id not in lifted}
        for name, known in self._here.heard(self._organisation).items():  # of a store that is silent now
            if name not in lifted and name:
                open_ones.setdefault(name, known)
        if hidden:
            open_ones[""] = hidden
        self._here.hear(self._organisation, open_ones)
        self._bring(self._stops, [one for one in stops if one.what.id in open_ones], everywhere=spread)
        self._bring(self._releases, releases, everywhere=spread)
        return Looked(next(iter(open_ones.values()), ""), silent)

    def pull(self, reason: str) -> Pulled:
        """Raises FailedError where it can be written nowhere, and what signing raises."""
        now = self._sites.clock.now_ns()
        made = Stop(id=new_name(now), by=speaker(self.vault), at=now, reason=reason)
        body = msgspec.json.encode(made, order="sorted")
        with recorded_on(self.vault, "drill.stop", objects={"said": "stop"}, names={"stop": made.id}):
            written = self._stops.write(f"{STOPS}{made.id}", body)
        try:
            self._here.hear(self._organisation, self._here.heard(self._organisation) | {made.id: _told(made)})
        except HoldfastError as error:  # the stores know of it all the same
            self._sites.progress.note(error.message)
        return _pulled(written.places, written.problems)

    def release(self, reason: str) -> Pulled:
        """Lift every stop that is to be seen now. Raises FailedError, CredentialError without a keeper's key."""
        stops, releases, hidden, silent = self._read()
        lifted = {name for one in releases for name in one.what.over}
        known = {one.what.id for one in stops} | self._here.heard(self._organisation).keys() - {""}
        names = sorted(known - lifted)
        if not names and not hidden:
            self._here.hear(self._organisation, {})
            return Pulled((), silent, 0)
        keys = self.vault.handle.keys
        keys.require_keeper("letting drills begin again")
        if hidden:
            raise RefusedError(
                f"what lies under {STOPS} cannot be read: {hidden}", hint="see who wrote it; revoke that key"
            )
        given: list[str] = []
        for begin in range(0, len(names), _NAMED_MAX):
            now = self._sites.clock.now_ns()
            over = tuple(names[begin : begin + _NAMED_MAX])
            made = Release(id=new_name(now), by=speaker(self.vault), at=now, reason=reason, over=over)
            with recorded_on(self.vault, "drill.stop", objects={"said": "release"}, names={"release": made.id}):
                written = self._releases.write(f"{RELEASES}{made.id}", msgspec.json.encode(made, order="sorted"))
            given, silent = list(written.places), silent | _sentences(written.problems)
        self._here.hear(self._organisation, {})
        return Pulled(tuple(name for name in given if name != HERE), silent, len(names))

    @property
    def _organisation(self) -> str:
        return self._sites.config.organisation

    def _read(self) -> tuple[list[Found[Stop]], list[Found[Release]], str, dict[str, str]]:
        """Stops, releases, what cannot be read although it is there (a sentence), and who does not answer."""
        stops, problems = self._stops.read()
        releases, more = self._releases.read()
        silent = _sentences(problems | more)
        for name in self._releases.flooded:  # stops count on: what lifts them may be among what is not read
            silent[name] = f"{name} has more objects under {RELEASES} than anybody would write: see who wrote them"
        lifted = {name for one in releases for name in one.what.over}
        unread = [key for key in self._stops.unread if key.removeprefix(STOPS) not in lifted]
        hidden = f"{unread[0]} cannot be read" if unread else ""
        if self._stops.flooded:
            hidden = f"{', '.join(sorted(self._stops.flooded))}: more objects than anybody would write"
        return stops, releases, hidden, silent

    def _bring(self, notices: Documents[T], found: list[Found[T]], *, everywhere: bool) -> None:
        lacking = [one for one in found if HERE not in one.places or everywhere]
        if lacking:
            notices.spread(found, [one.key for one in lacking], only=None if everywhere else HERE)


def require_may_stop(sites: DeclaredSites, vault: Vault) -> None:
    """Whoever the policies let stop drills, or run them. Raises PermissionDeniedError."""
    try:
        guard(vault, "drill.stop", environment=sites.environment)
    except PermissionDeniedError as denied:
        to = next(iter(sites.config.sites))
        try:
            ask(vault, "drill.run", "*", by=speaker(vault), to=to, drill=True, environment=sites.environment)
        except PermissionDeniedError:
            raise denied from None


def stop_all(sites: DeclaredSites, reason: str, *, ask: bool = False) -> Pulled:
    """Every drill of the organisation stops at its next step; none begins until `release_all`. `ask`: the policies.

    Raises UsageError, FailedError where nothing can be written, and what opening the vault, asking and signing raise;
    this machine is stopped even then.
    """
    if not reason.isprintable() or len(reason) > _REASON_MAX:
        raise UsageError(f"the reason is one line of text, of at most {_REASON_MAX} characters")
    here = Lever(sites.environment)
    own = here.path.exists()
    if not own:
        try:
            here.pull(sites.clock, reason or _NO_REASON)
        except HoldfastError as error:  # a disk that is full keeps nobody from stopping the other machines
            sites.progress.note(error.message)
    try:
        lever = StoreLever(sites)
        if ask:
            require_may_stop(sites, lever.vault)
        pulled = lever.pull(reason or _NO_REASON)
    except HoldfastError:
        if here.path.exists():
            sites.progress.note("drills of this machine are stopped; no other machine knows of it")
        raise
    if not own:  # what this machine hears of the stores counts as much, and ends with the release there
        here.release()
    return pulled


def release_all(sites: DeclaredSites, reason: str = "", *, ask: bool = False) -> Pulled:
    """How many stops were lifted: at the stores, and this machine's own. Raises as `StoreLever.release`."""
    lever = StoreLever(sites)
    if ask:
        guard(lever.vault, "drill.stop", environment=sites.environment)
    lifted = lever.release(reason or _NO_REASON)
    return lifted._replace(stops=lifted.stops + Lever(sites.environment).release())


@contextmanager
def looking_at_stores(lever: StoreLever, told: Callable[[str], None]) -> Iterator[None]:
    """Look every two seconds while it lasts, beside whatever runs: what is heard counts at its next step."""
    ended = threading.Event()
    said: set[str] = set()

    def go_on() -> None:
        while not ended.wait(_EVERY_S):
            try:
                silent = lever.look().silent
            except HoldfastError as error:
                silent = {"the stores": error.message}
            except Exception as error:  # noqa: BLE001 - a thread that dies would never look again
                silent = {"the stores": f"{type(error).__name__}: {error}"}
            for name, why in silent.items():
                if name not in said:
                    said.add(name)
                    told(f"{name} does not say whether drills are stopped: {why}")

    thread = threading.Thread(target=go_on, name="lever at the stores", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=_EVERY_S)  # one that waits for a store that hangs is left behind


def _by_at(made: Stop | Release) -> tuple[str, int]:
    return made.by, made.at


def _told(stop: Stop) -> str:
    return f"{to_rfc3339(stop.at)} {stop.by}: {stop.reason}"


def _pulled(places: tuple[str, ...], problems: Mapping[str, HoldfastError]) -> Pulled:
    return Pulled(tuple(name for name in places if name != HERE), _sentences(problems))


def _sentences(problems: Mapping[str, HoldfastError]) -> dict[str, str]:
    return {name: error.message for name, error in problems.items()}
