"""All interleavings of the collection protocol at small bounds: `python design/models/collecting.py [--small]`.

A model, not the program: the steps of `design/003-collecting.md`, one store request each, over a world of two packs.
Every state that the actors can reach is visited once (breadth first, so that a counterexample is a shortest one).
Checked in each: a pack that a committed root needs, and that is not on the store, is a loss.

The actors:
  writer     opens a lease, reads the trash; shares the pack that it needs if it is there and not condemned, else stores
             it under a new name; commits a root if its lease still holds by its own count; ends the lease
  old        a program from before: it knows neither leases nor trash, and shares what an index lists; its saves take
             less than the grace
  copier     opens a lease; brings a pack under its given name, rescuing it if it is condemned, giving up if that is too
             late
  collector  marks, takes what nothing reaches from the index, condemns it; later looks at the leases, marks, closes,
             deletes, removes the series
  second     another collector, at the same time
A root is dropped at any moment. Any of them may die (stop for ever) after any step. Time is a number that the model may
advance; store times come from it.

Leaving out a rule must give a loss, else the model proves nothing: see `RULES`, each is tried.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

GRACE, LEASE, COMMIT_WITHIN, SETTLE, HORIZON = 2, 2, 1, 2, 7
NONE = -1

RULES = {
    "grace": "a condemned pack is deleted only after the grace (what protects programs without leases)",
    "leases": "a collection waits for leases that began before it",
    "unlist-first": "what is condemned is taken from the index before (the same)",
    "mark-again": "the roots are looked at again before a collection is closed",
    "mark-after-leases": "that is done after the leases were looked at, not before",
    "avoid-condemned": "a writer does not share what is condemned",
    "trash-after-lease": "a writer opens its lease before it reads the trash",
    "commit-in-time": "a writer whose lease may have expired does not commit",
    "close-excludes-rescue": "closing a collection fails where somebody rescued from it meanwhile",
}


class Writer(NamedTuple):
    """`at`: the next step. `pack`: the one that it relies on (the old name 0 or a new name 1). `avoid`: it read that 0
    is condemned. `lease`: the store's time of its beginning, NONE: it has none. `ended`: it was given back.
    """

    at: int = 0
    pack: int = NONE
    avoid: bool = False
    lease: int = NONE
    renewed: int = NONE
    ended: bool = False

    def may_commit(self, now: int) -> bool:
        """By its own count."""
        return now - self.renewed <= COMMIT_WITHIN

    def is_active(self, now: int) -> bool:
        """As a collection sees it."""
        return self.lease != NONE and not self.ended and now - self.renewed < LEASE


class Collector(NamedTuple):
    """`marked`: pack 0 was reached by a root when it marked. `free`: no lease stood in the way when it looked."""

    at: int = 0
    marked: bool = True
    free: bool = False
    seen: int = 0  # the generation of the collection that it read


class State(NamedTuple):
    now: int
    packs: frozenset[int]
    roots: frozenset[tuple[str, int]]  # (whose, the pack that it needs)
    listed: bool  # whether an index lists pack 0
    condemned: int  # store time, NONE: not condemned
    generation: int  # of the collection's series
    state: str  # "", "condemned", "rescued", "closed"
    closed_at: int
    writer: Writer
    copier: Writer
    old: Writer
    collector: Collector
    second: Collector


def begin() -> State:
    """Pack 0, needed by one old root."""
    idle = Writer()
    return State(
        0,
        frozenset({0}),
        frozenset({("first", 0)}),
        True,
        NONE,
        0,
        "",
        NONE,
        idle,
        idle,
        idle,
        Collector(),
        Collector(),
    )


def losses(state: State) -> list[tuple[str, int]]:
    """Roots whose pack is not there."""
    return [root for root in state.roots if root[1] not in state.packs]


Steps = Callable[..., tuple[str, State]]


class Model:
    """The steps of all actors. `without`: the rule that is left out."""

    def __init__(
        self, without: str = "", actors: tuple[str, ...] = ("writer", "collector", "second", "copier")
    ) -> None:
        self.without = without
        self.actors = actors

    def follow(self, state: State) -> Iterator[tuple[str, State]]:
        """Every step that can be taken."""
        if state.now < HORIZON:
            yield "time passes", state._replace(now=state.now + 1)
        if ("first", 0) in state.roots:
            yield "the old root is dropped", state._replace(roots=state.roots - {("first", 0)})
        if "writer" in self.actors:
            yield from self._writer(state)
        for name in ("writer", "copier"):
            me: Writer = getattr(state, name)
            if me.lease != NONE and not me.ended and me.renewed < state.now and me.may_commit(state.now):
                yield f"{name}: renews its lease", state._replace(**{name: me._replace(renewed=state.now)})
        if "old" in self.actors:
            yield from self._old(state)
        if "copier" in self.actors:
            yield from self._copier(state)
        for name in ("collector", "second"):
            if name in self.actors:
                yield from self._collector(state, name)

    # Not dying is a choice of the model's, too: an actor that takes no further step is dead or slow, which is the same.

    def _writer(self, state: State) -> Iterator[tuple[str, State]]:
        me = state.writer
        first, second = ("lease", "trash") if self.without != "trash-after-lease" else ("trash", "lease")
        steps = (first, second, "rely", "commit", "end")
        if me.at >= len(steps):
            return
        step = steps[me.at]
        on = me._replace(at=me.at + 1)
        if step == "lease":
            yield "writer: opens its lease", state._replace(writer=on._replace(lease=state.now, renewed=state.now))
        elif step == "trash":
            yield "writer: reads the trash", state._replace(writer=on._replace(avoid=_is_condemned(state)))
        elif step == "rely":
            if 0 in state.packs and (not me.avoid or self.without == "avoid-condemned"):
                yield "writer: shares pack 0", state._replace(writer=on._replace(pack=0))
            else:
                yield "writer: stores pack 1", state._replace(packs=state.packs | {1}, writer=on._replace(pack=1))
        elif step == "commit":
            if me.may_commit(state.now) or self.without == "commit-in-time":
                roots = state.roots | {("writer", me.pack)}
                yield "writer: commits", state._replace(roots=roots, writer=on)
            else:
                yield "writer: gives up", state._replace(writer=on._replace(at=len(steps)))
        else:
            yield "writer: ends its lease", state._replace(writer=on._replace(ended=True))

    def _old(self, state: State) -> Iterator[tuple[str, State]]:
        me = state.old
        on = me._replace(at=me.at + 1)
        if me.at == 0:
            pack = 0 if 0 in state.packs and state.listed else 1
            began = on._replace(pack=pack, lease=state.now)  # only to know how long its save takes
            yield f"old: relies on pack {pack}", state._replace(packs=state.packs | {pack}, old=began)
        elif me.at == 1 and state.now - me.lease < GRACE:  # a save that takes longer is not covered, and never was
            yield "old: commits", state._replace(roots=state.roots | {("old", me.pack)}, old=on)

    def _copier(self, state: State) -> Iterator[tuple[str, State]]:
        """Brings a snapshot that needs pack 0 under that very name."""
        me = state.copier
        on = me._replace(at=me.at + 1)
        if me.at == 0:
            yield "copier: opens its lease", state._replace(copier=on._replace(lease=state.now, renewed=state.now))
        elif me.at == 1:
            if state.state == "condemned":
                rescued = state._replace(state="rescued", generation=state.generation + 1, condemned=NONE)
                yield "copier: rescues pack 0", rescued._replace(copier=on)
            elif state.state == "closed":
                yield "copier: leaves it out", state._replace(copier=on._replace(at=9))
            else:
                yield "copier: pack 0 is not condemned", state._replace(copier=on)
        elif me.at == 2:
            yield "copier: sends pack 0 if it is missing", state._replace(packs=state.packs | {0}, copier=on)
        elif me.at == 3:
            if me.may_commit(state.now) or self.without == "commit-in-time":
                yield "copier: commits", state._replace(roots=state.roots | {("copier", 0)}, copier=on)
            else:
                yield "copier: gives up", state._replace(copier=on._replace(at=9))
        elif me.at == 4:
            yield "copier: ends its lease", state._replace(copier=on._replace(ended=True))

    def _collector(self, state: State, name: str) -> Iterator[tuple[str, State]]:
        me: Collector = getattr(state, name)

        def to(text: str, mine: Collector, **changes: Any) -> tuple[str, State]:
            return f"{name}: {text}", state._replace(**{name: mine}, **changes)

        if me.at in (0, 1, 7):
            yield from self._condemn(state, me, to)
        elif me.at == 2:
            yield from self._look(state, me, to)
        elif me.at == 3:
            yield from self._look_again(state, me, to)
        elif me.at == 4:
            yield from self._close(state, me, to)
        elif me.at == 5:
            # A collector that was stopped for longer than `settle` acts late: that is what remains, and is documented.
            if state.state == "closed" and state.now - state.closed_at < SETTLE:
                yield to("deletes pack 0", me._replace(at=6), packs=state.packs - {0})
        elif me.at == 6 and state.state == "closed" and state.now - state.closed_at >= SETTLE:
            yield to("removes the series", Collector(at=9), state="", condemned=NONE)

    def _condemn(self, state: State, me: Collector, to: Steps) -> Iterator[tuple[str, State]]:
        reached = any(pack == 0 for _, pack in state.roots)
        if me.at == 0 and 0 in state.packs:
            yield to("marks", me._replace(at=1, marked=reached))
        elif me.at == 1:
            listed = state.listed and (me.marked or self.without == "unlist-first")
            yield to("takes dead packs from the index", me._replace(at=7), listed=listed)
        elif me.at == 7:
            if not me.marked and state.state in ("", "rescued"):
                told = {"condemned": state.now, "generation": state.generation + 1, "state": "condemned"}
                yield to("condemns pack 0", me._replace(at=2), **told)
            else:
                yield to("condemns nothing", me._replace(at=2))

    def _close(self, state: State, me: Collector, to: Steps) -> Iterator[tuple[str, State]]:
        if state.state == "closed":
            yield to("takes up the closed collection", me._replace(at=5))
        elif state.state == "" or me.marked or not me.free:
            yield to("has nothing to close", Collector())
        elif state.generation != me.seen and self.without != "close-excludes-rescue":
            yield to("lost the race", Collector())
        else:
            told = {"generation": state.generation + 1, "state": "closed", "closed_at": state.now}
            yield to("closes", me._replace(at=5), **told)

    def _look(self, state: State, me: Collector, to: Callable[..., tuple[str, State]]) -> Iterator[tuple[str, State]]:
        if self.without == "mark-after-leases":
            reached = any(pack == 0 for _, pack in state.roots)
            yield to("marks again, too early", me._replace(at=3, marked=reached, seen=state.generation))
        else:
            yield to("looks at the leases", me._replace(at=3, free=self._is_due(state), seen=state.generation))

    def _look_again(self, state: State, me: Collector, to: Steps) -> Iterator[tuple[str, State]]:
        if self.without == "mark-after-leases":
            yield to("looks at the leases", me._replace(at=4, free=self._is_due(state)))
        elif self.without == "mark-again":
            yield to("does not mark again", me._replace(at=4))
        else:
            reached = any(pack == 0 for _, pack in state.roots)
            yield to("marks again", me._replace(at=4, marked=reached))

    def _is_due(self, state: State) -> bool:
        if state.state != "condemned":
            return False
        if state.now - state.condemned < GRACE and self.without != "grace":
            return False
        if self.without == "leases":
            return True
        return not any(
            one.is_active(state.now) and one.lease <= state.condemned for one in (state.writer, state.copier)
        )


def _is_condemned(state: State) -> bool:
    return state.state in ("condemned", "closed")


def explore(model: Model, limit: int = 40_000_000) -> tuple[int, list[str]]:
    """How many states there are, and the steps to a loss (none: no state is one)."""
    start = begin()
    before: dict[State, tuple[State, str] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        if losses(state):
            return len(before), _way(before, state)
        for step, after in model.follow(state):
            if after not in before:
                before[after] = (state, step)
                waiting.append(after)
        if len(before) > limit:
            raise RuntimeError(f"more than {limit} states")
    return len(before), []


def _way(before: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    steps: list[str] = []
    while (come := before[state]) is not None:
        state, step = come
        steps.append(step)
    return steps[::-1]


SMALL = (("writer", "collector"), ("copier", "collector"), ("old", "collector"))
FULL = (("writer", "collector", "second"), ("copier", "collector", "second"), ("old", "collector", "second"))
FULL += (("writer", "copier", "collector"), ("writer", "old", "collector"))


def main(arguments: list[str]) -> int:
    """Explore the whole protocol, then without each rule. 0 if the first has no loss and each of the others has one."""
    good = True
    for actors in SMALL if "--small" in arguments else FULL:
        count, way = explore(Model(actors=actors))
        good &= not way
        sys.stdout.write(f"{' + '.join(actors)}: {count:,} states, {'NO LOSS' if not way else 'LOSS'}\n")
        sys.stdout.writelines(f"    {step}\n" for step in way)
    for rule, text in RULES.items():
        ways = [way for actors in SMALL if (way := explore(Model(rule, actors))[1])]
        good &= bool(ways)
        sys.stdout.write(f"without {rule} ({text}): {'lost' if ways else 'NO LOSS FOUND'}\n")
        sys.stdout.writelines(f"    {step}\n" for step in min(ways, key=len, default=[]))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
