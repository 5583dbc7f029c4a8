"""Telling every machine what became of a site: notices at every store that answers, and what others left there.

A notice is written here first, then at the stores. Whoever follows the sites brings it to the stores that lack it: so a
crash between two stores, or one that is away, delays it and loses nothing. A store that does not answer changes
nothing: what this machine knows goes on to count.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec

from holdfast.control.sites.hearing import Heard, hear, remember_rubbish
from holdfast.control.sites.states import Condition, KeptNotice, heads, states_of
from holdfast.errors import DamageError, FailedError, HoldfastError, NotFoundError
from holdfast.fanout.beside import at_once
from holdfast.ids import new_snapshot_id
from holdfast.stores.protocol import Store, store_identity
from holdfast.vault.access.generations import Generations, read_generations
from holdfast.vault.access.site_notices import SiteNotice, notice_id, notice_key, open_notice, seal_notice
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import SITES
from holdfast.vault.format.series import create_once

if TYPE_CHECKING:
    from holdfast.control.sites.declared import DeclaredSites

__all__ = ["PATIENCE_SECONDS", "Place", "Told", "learn", "places_of", "say", "spread"]

PATIENCE_SECONDS: Final = 5.0  # who waits for the answer wants to do something else
_READING: Final = 0.8  # of that time is for listing and reading, so that what came is heard
_NOTED_MAX: Final = 5  # objects of one store are named that are no notices; of more, their number

T = TypeVar("T")
_asking: dict[str, tuple[threading.Thread, float]] = {}  # store → who asked it last, and when (monotonic seconds)
_right: set[tuple[str, str]] = set()  # store, id: notices that were compared there with what is known


@dataclass(frozen=True, eq=False)
class Place:
    """A store where notices lie, or a set of stripes; `vault`: which places hold the same vault (empty, or the set)."""

    name: str
    vault: str
    store: Store


class Told(NamedTuple):
    """Which places have every notice that counts, and why others may not: place → sentence."""

    places: tuple[str, ...]
    problems: Mapping[str, str]


class _Lacking(NamedTuple):
    """`generations`: the configuration of the vault that lies there, as it says itself. `notices`: ids of those that
    count and are not there, in this vault. `odd`: of those whose names are, and which are not what is known here: their
    bytes.
    """

    generations: Generations
    notices: frozenset[str]
    odd: Mapping[str, bytes]

    @property
    def vault(self) -> str:
        return self.generations.vault_id


def places_of(sites: DeclaredSites) -> list[Place]:
    """All stores to which snapshots come first, and all sets; nothing is read. What cannot be opened is noted."""
    names: dict[str, str] = {}
    for asset in sites.assets.values():
        if asset.set_name:
            names[asset.set_name] = asset.set_name
        else:
            names |= dict.fromkeys((asset.at(site) for site in asset.placement.sites), "")
    found = []
    for name, vault in names.items():
        try:
            found.append(Place(name, vault, sites.store(name).store))
        except HoldfastError as error:
            sites.progress.note(f"{name} is not asked which sites have failed: {error.message}")
    return found


def learn(sites: DeclaredSites, patience_s: float = PATIENCE_SECONDS) -> bool:
    """Ask all places at once what was said of sites, and remember it. True when it changed what counts.

    What is not signed by a keeper of the vault where it lies counts for nothing, and is noted. Sites that count as
    failed are asked, and not waited for. Raises DamageError.
    """
    before = sites.kept_states.notices()
    until = sites.clock.monotonic() + _READING * patience_s

    def ask(place: Place) -> Heard:
        return hear(place.store, before.keys(), lambda: sites.clock.monotonic() < until)

    answers, _ = _each(sites, places_of(sites), ask, patience_s, patient=False)
    for place, heard in answers.items():
        if heard.unread:
            sites.progress.note(
                f"{place.name}: {heard.unread} or more objects under {SITES} were not looked at: whether others said "
                "something of a site there is not known. Somebody who may write may have put them there"
            )
    found = _checked(sites, {place: heard.read for place, heard in answers.items() if heard.read})
    if found:
        _keep(sites, found)
    now = states_of(one.notice for one in sites.kept_states.notices().values())
    return now != states_of(one.notice for one in before.values())


def say(sites: DeclaredSites, site: str, condition: Condition | None, reason: str, by: str) -> SiteNotice:
    """From now on this counts for the site, on this machine; `spread` tells the others. None: it is as declared.

    `by`: the label of whoever says so. Durable when it returns. Raises FailedError where nothing can be written.
    """
    now = sites.clock.now_ns()
    known = heads(one.notice for one in sites.kept_states.notices().values()).get(site, ())
    notice = SiteNotice(
        id=new_snapshot_id(now),
        site=site,
        condition=condition.value if condition is not None else "declared",
        at=now,
        reason=reason,
        by=by,
        over=tuple(one.id for one in known),
    )
    sites.kept_states.add({notice.id: KeptNotice(notice)})
    return notice


def spread(sites: DeclaredSites, patience_s: float = 2 * PATIENCE_SECONDS) -> Told:
    """Give every place that answers and holds its vault the notices that count and that it lacks.

    A notice goes there as its author signed it; into a vault where it does not lie yet it is signed by the keeper's key
    of this machine, if it has one. Sites that count as failed are told, too.
    """
    kept = sites.kept_states.notices()
    counting = {one.id for found in heads(one.notice for one in kept.values()).values() for one in found}
    if not counting:
        return Told((), {})

    def survey(place: Place) -> _Lacking | None:
        found: list[Generations] = []
        listed: list[str | None] = []
        try:
            at_once(
                lambda: found.append(read_generations(place.store)),
                lambda: listed.extend(notice_id(info.key) for info in place.store.list(SITES)),
            )
        except NotFoundError:
            return None  # there is nothing yet that anybody could follow
        [generations], there = found, counting & set(listed)
        vault = generations.vault_id
        name = store_identity(place.store)
        read = {one: place.store.get(notice_key(one)) for one in there if (name, one) not in _right}
        odd = {one: data for one, data in read.items() if kept[one].documents.get(vault) != data}
        _right.update((name, one) for one in read.keys() - odd.keys())
        return _Lacking(generations, frozenset(counting - there), odd)

    found, problems = _each(sites, places_of(sites), survey, patience_s, patient=True)
    lacking = {place: one for place, one in found.items() if one is not None}
    short = {place: one for place, one in lacking.items() if one.notices}
    documents = {one: dict(kept[one].documents) for one in counting}
    _sign(sites, documents, short)

    def give(place: Place) -> None:
        vault, (generations, notices, odd) = short[place].vault, short[place]
        for one in sorted(notices):
            if vault not in documents[one]:
                raise FailedError("only a keeper's key of its vault can tell it")
            if not create_once(place.store, notice_key(one), documents[one][vault]):
                lacking[place] = _Lacking(generations, notices, {**odd, one: place.store.get(notice_key(one))})

    given, failed = _each(sites, list(short), give, patience_s, patient=True)
    wrong = {place.name: why for place, one in lacking.items() if (why := _in_the_way(sites, place, one.odd, kept))}
    told = (place.name for place in lacking if place not in short or place in given)
    return Told(tuple(name for name in told if name not in wrong), problems | failed | wrong)


def _in_the_way(
    sites: DeclaredSites, place: Place, odd: Mapping[str, bytes], kept: Mapping[str, KeptNotice]
) -> str | None:
    """Why who reads these objects does not hear what they should say. Another keeper may have signed it as well."""
    keys = _keys(sites, {place: None}) if odd else None
    for one, data in odd.items() if keys is not None else ():
        assert keys is not None
        try:
            notice = open_notice(keys, notice_key(one), data)
            same = msgspec.structs.replace(notice, by="") == msgspec.structs.replace(kept[one].notice, by="")
        except HoldfastError:
            same = False
        if not same:
            said = kept[one].notice
            return (
                f"something else lies at {notice_key(one)}, which should say that {said.site} is {said.condition}: "
                "say it once more, so that it gets another name"
            )
        _right.add((store_identity(place.store), one))
    return None


def _each(
    sites: DeclaredSites, places: Sequence[Place], work: Callable[[Place], T], patience_s: float, *, patient: bool
) -> tuple[dict[Place, T], dict[str, str]]:
    """Do it for all at once: what came of it, and for which others what was the matter.

    `patient`: wait for failed sites, too. A place that has not answered an earlier question in that time is not asked
    another one: a store that hangs holds one thread or two of this process, and not one for each question.
    """
    answers: SimpleQueue[tuple[Place, Future[T]]] = SimpleQueue()
    problems: dict[str, str] = {}
    waiting: set[Place] = set()

    def do(place: Place) -> None:
        answer: Future[T] = Future()
        try:
            answer.set_result(work(place))
        except HoldfastError as error:
            answer.set_exception(error)
        except Exception as error:  # noqa: BLE001 - a thread that dies in silence would look like a store that hangs
            answer.set_exception(FailedError(f"{type(error).__name__}: {error}"))
        answers.put((place, answer))

    for place in places:
        name = store_identity(place.store)
        before, since = _asking.get(name, (None, 0.0))
        if before is not None and before.is_alive() and sites.clock.monotonic() - since >= patience_s:
            problems[place.name] = "it has not answered an earlier question yet"
            continue
        thread = threading.Thread(target=do, args=(place,), name=f"sites {place.name}", daemon=True)
        _asking[name] = thread, sites.clock.monotonic()
        thread.start()
        waiting.add(place)
    found: dict[Place, T] = {}
    until = sites.clock.monotonic() + patience_s
    while any(patient or not _has_failed(sites, place) for place in waiting):
        try:
            place, answer = answers.get(timeout=max(0.0, until - sites.clock.monotonic()))
        except Empty:
            break
        waiting.discard(place)
        try:
            found[place] = answer.result()
        except HoldfastError as error:
            problems[place.name] = error.message
    found = {place: found[place] for place in places if place in found}
    return found, problems | {place.name: f"no answer within {patience_s:.0f} s" for place in waiting}


def _has_failed(sites: DeclaredSites, place: Place) -> bool:
    state = sites.states.get(place.name.partition("/")[0])
    return state is not None and state.condition is Condition.FAILED


def _checked(sites: DeclaredSites, read: Mapping[Place, Mapping[str, tuple[bytes, int]]]) -> dict[str, KeptNotice]:
    found: dict[str, KeptNotice] = {}
    wrong: dict[Place, dict[str, HoldfastError]] = {}
    keys_of: dict[str, VaultKeys | None] = {}
    for place, documents in read.items():
        if place.vault not in keys_of:
            keys_of[place.vault] = _keys(sites, {one: None for one in read if one.vault == place.vault})
        keys = keys_of[place.vault]
        if keys is None:
            continue
        for one, (data, written_ns) in documents.items():
            try:
                notice = open_notice(keys, notice_key(one), data, written_ns)
            except HoldfastError as error:
                wrong.setdefault(place, {})[one] = error
                continue
            before = found[one].documents if one in found else {}
            found[one] = KeptNotice(notice, before | {keys.vault.hex(): data})
    for place, errors in wrong.items():
        remember_rubbish(place.store, (one for one, error in errors.items() if isinstance(error, DamageError)))
        named = [one for one in sorted(errors) if one not in found]
        for one in named[:_NOTED_MAX]:
            sites.progress.note(f"{place.name}: what {notice_key(one)} says does not count: {errors[one].message}")
        if named[_NOTED_MAX:]:
            sites.progress.note(f"{place.name}: nor do {len(named) - _NOTED_MAX} more objects under {SITES}")
    return found


def _sign(sites: DeclaredSites, documents: Mapping[str, dict[str, bytes]], short: Mapping[Place, _Lacking]) -> None:
    """Add to `documents` what no keeper has signed for the vaults of these places, as far as a key here can."""
    for vault in dict.fromkeys(one.vault for one in short.values()):
        places = [place for place, one in short.items() if one.vault == vault]
        missing = {one for place in places for one in short[place].notices if vault not in documents[one]}
        keys = _keys(sites, {place: short[place].generations for place in places}) if missing else None
        if keys is None or keys.role != "keeper" or not keys.can_write:
            continue
        kept = sites.kept_states.notices()
        for one in missing:
            documents[one][vault] = seal_notice(keys, kept[one].notice)
        _keep(sites, {one: KeptNotice(kept[one].notice, documents[one]) for one in missing})


def _keep(sites: DeclaredSites, found: Mapping[str, KeptNotice]) -> None:
    try:
        sites.kept_states.add(found)
    except FailedError as error:
        sites.progress.note(f"{error.message}: what was said of sites is known to this process only")


def _keys(sites: DeclaredSites, places: Mapping[Place, Generations | None]) -> VaultKeys | None:
    """Those of the vault at the first of these places that opens; its configuration, where that was read just now."""
    for place, generations in places.items():
        try:
            return sites.open_at(place.name, generations).handle.keys
        except HoldfastError as error:
            sites.progress.note(f"what {place.name} says of sites cannot be checked: {error.message}")
    return None
