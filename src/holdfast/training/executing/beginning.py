"""Before the command starts: choose a checkpoint, fetch it if it is not here, put what is broken out of the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from holdfast.checkpoints.ledger import Ledger
from holdfast.clock import SYSTEM_CLOCK
from holdfast.control.authority.guarding import guard
from holdfast.errors import (
    CredentialError,
    DamageError,
    HoldfastError,
    NotFoundError,
    StorageFullError,
    StoreUnreachableError,
)
from holdfast.events import Progress
from holdfast.training.executing.asks import Answer, Ask, Begun, Checkpoint, MovedAside, Note, Skipped
from holdfast.training.executing.attempts import Attempt, Judgement, Span, judge, merged, skipped_spans
from holdfast.training.executing.choosing import Options, ranked, reason_for, to_move_aside
from holdfast.training.executing.folder import ledger_path, read_kept, write_kept
from holdfast.training.executing.looking import Here, look
from holdfast.training.executing.placing import (
    clear_incoming,
    incoming,
    move_aside,
    put_in_place,
    tracker_for,
    write_trackers,
)
from holdfast.training.executing.vaults import (
    Good,
    attempts_in,
    good_snapshots,
    known_ids,
    open_to_read,
    record_in,
    with_copies,
)
from holdfast.vault.vault import Vault

__all__ = ["begin"]

Say = Callable[[Answer], None]


class _Known(NamedTuple):
    """What the vault says. `ids` None: it could not be asked."""

    vault: Vault | None
    good: Good
    ids: list[str] | None
    attempts: list[Attempt]
    problem: HoldfastError | None


class _Chosen(NamedTuple):
    """`fell_from`: what led into a loop, and is passed over from now on."""

    checkpoint: Checkpoint | None
    judgement: Judgement
    fell_from: Checkpoint | None


def begin(ask: Ask, say: Say, progress: Progress) -> Begun:
    """Do it; with the verb `look`, only say what would be done. See `choosing` and `attempts` for the rules.

    Raises DamageError when the vault has snapshots and none can be restored, CredentialError when it has some that this
    key cannot read and there is nothing here, StoreUnreachableError when it cannot be asked and there is nothing here:
    starting from nothing would be the wrong answer to all three.
    """
    started = time.monotonic()
    folder = Path(ask.place.folder)
    ledger = ledger_path(folder, ask.place.vault, ask.place.asset)
    here = look(folder, ledger, ask.place.patterns)
    known = _ask_vault(ask, here, progress)
    if known.problem is not None:
        say(Note(f"the vault cannot be asked for snapshots: {known.problem.message}"))
    kept = read_kept(folder).attempts
    attempts = merged(kept, known.attempts)
    _date_what_was_restored(here, kept)
    now_ns = SYSTEM_CLOCK.now_ns()
    dry = ask.verb == "look"
    options = Options(here.complete, known.good.checkpoints)
    chosen = _choose(
        ask, options, attempts, partial(_fetch, ask, known.vault, say, progress, dry, bool(here.complete)), dry
    )
    begun = Begun(
        chosen.checkpoint,
        "",
        chosen.judgement.verdict,
        chosen.judgement.stuck,
        None,
        known=known.ids,
        attempts=attempts,
        vault=known.vault.url if known.vault is not None else "",
    )
    if chosen.judgement.verdict == "give-up":
        return msgspec.structs.replace(begun, reason=f"{chosen.judgement.reason}{_incomplete(here)}")
    if chosen.checkpoint is None and chosen.fell_from is None:
        _require_nothing_lost(options, known, attempts)
    for bad, why in known.good.bad:
        if bad.written >= (chosen.checkpoint.written if chosen.checkpoint is not None else 0):
            say(Skipped(bad, why))
    reason = (_reason(chosen, options) if known.ids is not None else "the vault could not be asked") + (
        _incomplete(here) if chosen.checkpoint is None else ""
    )
    placed = chosen.checkpoint if dry else _settle(ask, here, chosen.checkpoint, known.vault, ledger, say, now_ns)
    attempt = _attempt(ask, placed, chosen, now_ns)
    if not dry and attempt is not None:
        _record(folder, known.vault, ask, attempt, say)
    return msgspec.structs.replace(
        begun,
        chosen=placed,
        reason=reason,
        attempt=attempt,
        restored=bool(chosen.checkpoint is not None and chosen.checkpoint.snapshot),
        seconds=time.monotonic() - started,
    )


def _ask_vault(ask: Ask, here: Here, progress: Progress) -> _Known:
    nothing = Good([], [])
    try:
        vault = open_to_read(ask.place, progress)
        ids = known_ids(vault, ask.place.asset)
        if not ask.restore:
            return _Known(vault, nothing, ids, _attempts(vault, ask, progress), None)
        if not vault.handle.keys.can_read:
            if ids and not here.complete:
                raise CredentialError(
                    f"there is no complete checkpoint in {ask.place.folder}, the vault has {len(ids)} snapshots of "
                    f"{ask.place.asset!r}, and this key cannot read them",
                    hint="give a key that reads (HOLDFAST_KEY_FILE), or start from nothing with --no-restore",
                )
            progress.note("this key cannot read: only what lies in the folder can be gone on from")
            return _Known(vault, nothing, ids, [], None)
        return _Known(vault, good_snapshots(vault, ask.place.asset), ids, _attempts(vault, ask, progress), None)
    except StoreUnreachableError as error:
        if not here.complete and ask.restore:
            raise
        return _Known(None, nothing, None, [], error)


def _attempts(vault: Vault, ask: Ask, progress: Progress) -> list[Attempt]:
    if not vault.handle.keys.can_read:
        return []
    try:
        return attempts_in(vault, ask.place.asset)
    except HoldfastError as error:
        progress.note(f"the attempts that the vault knows cannot be read: {error.message}")
        return []


def _choose(
    ask: Ask, options: Options, attempts: list[Attempt], fetch: Callable[[Checkpoint], bool], dry: bool
) -> _Chosen:
    fell_from: Checkpoint | None = None
    judgement = Judgement("go", 0, "")
    for option in ranked(options, [] if ask.anew else skipped_spans(attempts)):
        if fell_from is not None and option.written >= fell_from.written:
            continue
        if not ask.anew and fell_from is None:
            judgement = judge(attempts, option.step, option.written)
            if judgement.verdict == "give-up":
                return _Chosen(option, judgement, None)
            if judgement.verdict == "fall-back":
                fell_from = option
                continue
        if not option.snapshot or fetch(option):
            return _Chosen(option, judgement, fell_from)
    if fell_from is not None:
        return _Chosen(
            fell_from, judgement._replace(verdict="give-up", reason=f"{judgement.reason}; nothing older is left"), None
        )
    return _Chosen(None, judgement if ask.anew else judge(attempts, None, 0), None)


def _incomplete(here: Here) -> str:
    """What lies there and could not be gone on from: perhaps a layout that is not known."""
    if not here.broken:
        return ""
    newest, reason = max(here.broken, key=lambda found: found[0].written)
    return f"; {len(here.broken)} checkpoints there are not complete, {newest.place}: {reason}"


def _fetch(
    ask: Ask, vault: Vault | None, say: Say, progress: Progress, dry: bool, spare: bool, option: Checkpoint
) -> bool:
    """Whether the snapshot is whole in `incoming` now. Its bytes are compared with their ids on the way.

    `spare`: there is a complete checkpoint in the folder: training goes on from it where the store falls silent, or the
    disk is full, in mid-restore.
    """
    assert vault is not None
    place = incoming(Path(ask.place.folder), option.snapshot)
    if dry or place.exists():  # it only appears there when it is whole
        return True
    guard(vault, "restore", reference=option.snapshot)
    try:
        # A rehearsal: `attempts` judges loops here, with the end of each attempt, which a count of restores lacks.
        with_copies(vault, ask.place, progress).restore(option.snapshot, place, rehearsal=True)
    except (DamageError, NotFoundError) as error:
        say(Skipped(option, error.message))
        return False
    except (StoreUnreachableError, StorageFullError) as error:
        if not spare:
            raise
        say(Skipped(option, error.message))
        return False
    return True


def _require_nothing_lost(options: Options, known: _Known, attempts: list[Attempt]) -> None:
    lost = [one for one, _ in known.good.bad]
    if options.vault or (lost and not options.here):
        count = len(options.vault) + len(lost)
        raise DamageError(
            f"the vault has {count} snapshots of this asset, and none is good and can be restored",
            hint="`holdfast vault repair` mends from replicas; --no-restore starts from nothing",
        )


def _date_what_was_restored(here: Here, kept: list[Attempt]) -> None:
    """What came from the vault is as old as the vault says, which may count more than its files: else the same snapshot
    would be newer each time, be restored again, and never be seen to lead nowhere.
    """
    changed = {one.place for one in here.unsaved}
    dates = {one.place: one.written for one in kept if one.snapshot}
    for number, one in enumerate(here.complete):
        date = dates.get(one.place, 0)
        if one.written < date and one.place not in changed:
            here.complete[number] = msgspec.structs.replace(one, written=date)


def _settle(
    ask: Ask, here: Here, chosen: Checkpoint | None, vault: Vault | None, ledger: Path, say: Say, now_ns: int
) -> Checkpoint | None:
    """Make the folder such that the framework picks up the chosen one. Returns it as it lies there."""
    folder = Path(ask.place.folder)
    reasons = {one.place: reason for one, reason in here.broken}
    aside = to_move_aside(chosen, here.complete, [one for one, _ in here.broken])
    in_the_way = chosen is not None and chosen.snapshot and (folder / chosen.place).exists()
    places = [one.place for one in aside if one.place != "."]
    if chosen is not None and in_the_way and chosen.place not in places:
        places.append(chosen.place)
    for place in places:
        reason = reasons.get(place, "it led into a loop" if not in_the_way else "the vault's is taken instead")
        say(MovedAside(place, move_aside(folder, place, now_ns), reason))
    if chosen is None:
        return None
    trackers = tracker_for(chosen) if aside else ""
    if chosen.snapshot:
        assert vault is not None
        root = vault.find(chosen.snapshot)
        restored = incoming(folder, chosen.snapshot)
        put_in_place(folder, restored / root.name if root.source == "file" else restored, chosen.place)
        clear_incoming(folder)
        trackers = root.meta.get("tracker", "")
    for name in write_trackers(folder, chosen.place, trackers):
        say(Note(f"{name} names {chosen.place} again"))
    return _as_it_lies(ask, chosen, ledger)


def _as_it_lies(ask: Ask, chosen: Checkpoint, ledger_file: Path) -> Checkpoint:
    """With the times and the fingerprint that it has here; what came from the vault need not be saved there again."""
    here = look(Path(ask.place.folder), ledger_file, ask.place.patterns)
    found = next((one for one in here.complete if one.place == chosen.place), None)
    if found is None:
        return chosen
    if chosen.snapshot:
        with suppress(HoldfastError):  # then it is saved once more, which costs little
            Ledger(ledger_file).record(
                found.place, here.candidates[found.place], SYSTEM_CLOCK.now_ns(), chosen.snapshot
            )
    return msgspec.structs.replace(found, snapshot=chosen.snapshot, written=chosen.written)


def _reason(chosen: _Chosen, options: Options) -> str:
    if chosen.checkpoint is None:
        return "there is nothing to go on from: neither here nor in the vault"
    if chosen.fell_from is not None:
        step = chosen.fell_from.step
        return f"{chosen.judgement.reason}; fell back from {chosen.fell_from.place if step is None else f'step {step}'}"
    return reason_for(chosen.checkpoint, options)


def _attempt(ask: Ask, placed: Checkpoint | None, chosen: _Chosen, now_ns: int) -> Attempt | None:
    if ask.attempt is None:
        return None
    fell = chosen.fell_from
    attempt = msgspec.structs.replace(ask.attempt, at=now_ns, anew=ask.anew)
    if placed is not None:
        attempt = msgspec.structs.replace(
            attempt, step=placed.step, written=placed.written, place=placed.place, snapshot=placed.snapshot
        )
    if fell is None:
        return attempt
    span = Span(fell.written, now_ns)
    return msgspec.structs.replace(attempt, fell_back=True, span_from=span.begin, span_step=fell.step)


def _record(folder: Path, vault: Vault | None, ask: Ask, attempt: Attempt, say: Say) -> None:
    try:
        write_kept(folder, [attempt], None)
    except HoldfastError as error:  # a full disk, most likely: the framework will say more of it
        say(Note(f"the attempt is not recorded in the folder: {error.message}"))
    try:
        if vault is not None and vault.handle.keys.can_write:
            for one in (ask.ended, attempt):
                if one is not None:
                    record_in(vault, ask.place.asset, one)
    except HoldfastError as error:
        say(Note(f"the attempt is not recorded in the vault: {error.message}"))
