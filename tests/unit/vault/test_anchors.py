"""Anchors are renewed when that stores less in the long run: the rule, its state, and what it costs against others."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from blake3 import blake3

from holdfast.ids import ChunkId, PackId
from holdfast.vault.format.packs import ChunkPlace
from holdfast.vault.format.records import Entry, Part
from holdfast.vault.index import Located
from holdfast.vault.regions.model import Element, Kind
from holdfast.vault.saving.anchors import Anchors, summarise
from holdfast.vault.saving.memory import AnchorAge, Remembered, recall, remember

UNIT = 1_000_000  # bytes of a chunk in full, before it is coded
_FLOAT = Element(Kind.FLOAT, 2)


def chunk(number: int) -> ChunkId:
    return ChunkId(number.to_bytes(32, "big"))


class Places:
    """An index of chunks: size as stored, and base."""

    def __init__(self) -> None:
        self.located: dict[ChunkId, Located] = {}

    def add(self, number: int, stored: int, base: int | None = None) -> ChunkId:
        name = chunk(number)
        codec, onto = (2, ChunkId(b"")) if base is None else (3, chunk(base))
        place = ChunkPlace(len(self.located), 100, stored, UNIT, codec, _FLOAT, onto)
        self.located[name] = Located(PackId("00" * 32), 10 * UNIT, place)
        return name

    def anchors(self, ages: dict[bytes, AnchorAge] | None = None, price: float = 0.0) -> Anchors:
        remembered = Remembered("", 0, [], {}, ages) if ages is not None else None
        return Anchors(remembered, self.located.get, read_price=price)


def snapshot_of(*chunks: ChunkId) -> list[Part]:
    lengths = UNIT.to_bytes(4, "little") * len(chunks)
    size, runs = UNIT * len(chunks), [(UNIT * len(chunks), 2, 4, len(chunks))]
    entry = Entry(b"w", "file", 0o600, 0, size, runs=runs, chunks=b"".join(chunks), lengths=lengths)
    return [Part("weights", [entry])]


def test_the_limit_is_the_average_of_the_cycle_so_far() -> None:
    places = Places()
    anchor = places.add(0, 800)
    places.add(1, 300, base=0)
    assert places.anchors({anchor: AnchorAge(3, 1000)}).limit(anchor, chunk(1)) == (800 + 1000) / 4
    assert places.anchors({anchor: AnchorAge(3, 1000)}, price=1.0).limit(anchor, chunk(1)) == (400 + 1000) / 4


def test_after_a_delta_that_was_too_dear_there_is_no_other() -> None:
    """Its size may have been estimated too low, and the next one's may be as well."""
    places = Places()
    anchor = places.add(0, 800)
    just_right, too_dear = places.add(1, 399, base=0), places.add(2, 400, base=0)
    anchors = places.anchors({anchor: AnchorAge(3, 800)})
    assert anchors.limit(anchor, just_right) == 400
    assert anchors.limit(anchor, too_dear) == 0
    assert anchors.limit(anchor, anchor) == 400


def test_an_anchor_without_deltas_sets_no_limit_unless_reading_has_a_price() -> None:
    places = Places()
    anchor = places.add(0, 800)
    assert places.anchors().limit(anchor, anchor) == math.inf
    assert places.anchors({}).limit(anchor, anchor) == math.inf
    assert places.anchors(price=0.25).limit(anchor, anchor) == 640


def test_what_is_not_remembered_is_taken_from_the_parents_chunk() -> None:
    places = Places()
    anchor = places.add(0, 800)
    delta = places.add(1, 300, base=0)
    anchors = places.anchors()
    assert anchors.limit(anchor, delta) == (800 + 300) / 2
    anchors.took_delta(anchor, 320)
    new = places.add(2, 320, base=0)
    assert anchors.ages(snapshot_of(new)) == {anchor: AnchorAge(2, 620)}


def test_a_chunk_that_no_pack_holds_is_worth_no_delta() -> None:
    assert Places().anchors().limit(chunk(0), chunk(0)) == 0


@pytest.mark.parametrize("price", [-0.1, math.inf, math.nan])
def test_impossible_prices_are_refused(price: float) -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        Places().anchors(price=price)


def test_unchanged_chunks_keep_their_anchors_age_and_gone_ones_lose_it() -> None:
    places = Places()
    kept, gone, renewed, back = (places.add(number, 800) for number in range(4))
    ages: dict[bytes, AnchorAge] = {name: AnchorAge(4, 1600) for name in (kept, gone, renewed, back)}
    same = places.add(10, 400, base=0)
    anchors = places.anchors(ages)
    full = places.add(11, 790)
    anchors.took_full(full)
    # `back` is its own content again: an anchor that the snapshot holds itself
    assert anchors.ages(snapshot_of(same, full, back)) == {kept: AnchorAge(4, 1600), back: AnchorAge(4, 1600)}


def test_an_anchor_that_had_to_be_stored_again_starts_anew() -> None:
    places = Places()
    anchor = places.add(0, 800)
    anchors = places.anchors({anchor: AnchorAge(4, 1600)})
    anchors.took_full(anchor)
    assert anchors.ages(snapshot_of(anchor)) == {}


def test_threads_change_neither_the_limits_nor_the_sums() -> None:
    places = Places()
    anchor = places.add(0, 800)
    deltas = [places.add(number, 300 + number, base=0) for number in range(1, 401)]
    anchors = places.anchors()

    def one(number: int) -> float:
        limit = anchors.limit(anchor, deltas[number])
        anchors.took_delta(anchor, number)
        return limit

    with ThreadPoolExecutor(8) as pool:
        limits = list(pool.map(one, range(400)))
    assert limits == [(800 + 301 + number) / 2 for number in range(400)]
    assert anchors.ages(snapshot_of(*deltas)) == {anchor: AnchorAge(401, 700 + sum(range(400)))}


# --- what the rule costs -------------------------------------------------------------------------------------------

Growth = Callable[[int], float]


def measured(points: dict[int, float], full: float) -> Growth:
    """Size of a delta so many steps from its anchor, per byte: measured ones, straight between the logarithms of
    their distances, and on as between the last two; never more than in full, as the codec sees to that.
    """
    steps, sizes = np.log(list(points)), list(points.values())
    slope = (sizes[-1] - sizes[-2]) / (steps[-1] - steps[-2])

    @functools.cache
    def size(distance: int) -> float:
        beyond = max(0.0, math.log(distance) - steps[-1])
        return float(min(full, np.interp(math.log(distance), steps, sizes) + slope * beyond))

    return size


BF16 = (0.67, measured({1: 0.21, 10: 0.385, 100: 0.50}, 0.67))
FP32 = (0.83, measured({1: 0.60, 10: 0.70, 100: 0.74}, 0.83))
SAVES = 100


def policy_total(
    full: float, growth: Growth, every: int, saves: int = SAVES, *, estimate: float = 1.0
) -> tuple[int, int]:
    """Bytes that `Anchors` makes a chunk store in so many saves, its state carried from save to save, and the number
    of times that it was stored in full. `estimate`: what share of a delta's size is known before it is coded.
    """
    places = Places()
    ages: dict[bytes, AnchorAge] = {}
    anchor = parent = ChunkId(b"")
    since = total = anchors_made = 0
    for number in range(saves):
        anchors = places.anchors(ages)
        since += every
        delta = int(UNIT * growth(since)) if anchor else UNIT
        if anchor and estimate * delta < anchors.limit(anchor, parent):
            parent = places.add(number, delta, base=int.from_bytes(anchor, "big"))
            anchors.took_delta(anchor, delta)
            total += delta
        else:
            parent = anchor = places.add(number, int(UNIT * full))
            anchors.took_full(anchor)
            total += int(UNIT * full)
            since = 0
            anchors_made += 1
        ages = anchors.ages(snapshot_of(parent))
    return total, anchors_made


def fixed_total(full: float, growth: Growth, every: int, length: int, saves: int = SAVES) -> int:
    """The same where every `length`-th save is in full."""
    places = (number % length for number in range(saves))
    return sum(int(UNIT * (growth(every * place) if place else full)) for place in places)


@pytest.mark.parametrize("every", [1, 10, 50])
@pytest.mark.parametrize("kind", [BF16, FP32], ids=["bf16", "fp32"])
def test_the_rule_comes_near_the_best_fixed_length_without_knowing_it(kind: tuple[float, Growth], every: int) -> None:
    full, growth = kind
    total, _ = policy_total(full, growth, every)
    fixed = {length: fixed_total(full, growth, every, length) for length in range(1, SAVES + 1)}
    best = min(fixed, key=lambda length: fixed[length])
    assert 1 < best < SAVES
    assert total <= 1.02 * fixed[best]
    assert total < fixed[SAVES]  # never renewed
    assert total < fixed[1]  # never a delta
    for wrong in (max(2, best // 3), min(SAVES, best * 4)):
        assert total < fixed[wrong], wrong


@pytest.mark.parametrize(("kind", "gain"), [(BF16, 0.12), (FP32, 0.02)], ids=["bf16", "fp32"])
def test_renewing_gains_what_the_design_says(kind: tuple[float, Growth], gain: float) -> None:
    """Checkpoints 10 steps apart, 100 of them, against an anchor kept for ever."""
    total, _ = policy_total(*kind, every=10)
    assert total <= (1 - gain) * fixed_total(*kind, every=10, length=SAVES)


@pytest.mark.parametrize("kind", [BF16, FP32], ids=["bf16", "fp32"])
def test_estimates_that_are_all_too_low_cost_little(kind: tuple[float, Growth]) -> None:
    """On real weights samples promised up to 15 % less than deltas took."""
    full, growth = kind
    total, _ = policy_total(full, growth, 10)
    misled, made = policy_total(full, growth, 10, estimate=0.85)
    assert misled <= 1.02 * total
    assert made > 1


def test_deltas_that_stay_the_same_never_renew() -> None:
    total, made = policy_total(0.67, lambda distance: 0.4, every=1)
    assert made == 1
    assert total == int(0.67 * UNIT) + (SAVES - 1) * int(0.4 * UNIT)


def test_a_jump_renews_at_once() -> None:
    """A higher learning rate, another phase of training: nothing is left of what the anchor was near to."""
    _, made = policy_total(0.67, lambda distance: 0.1 if distance < 5 else 0.6, every=1, saves=6)
    assert made == 2


def test_a_price_of_reading_renews_earlier() -> None:
    places = Places()
    anchor = places.add(0, 800)
    ages: dict[bytes, AnchorAge] = {anchor: AnchorAge(2, 700)}
    limits = [places.anchors(ages, price).limit(anchor, anchor) for price in (0, 0.1, 1, 10)]
    assert limits == sorted(limits, reverse=True)
    assert limits[0] == 500
    assert limits[-1] > 700 / 3


# --- memory --------------------------------------------------------------------------------------------------------


def test_ages_are_remembered(tmp_path: Path) -> None:
    ages: dict[bytes, AnchorAge] = {chunk(1): AnchorAge(3, 12345), chunk(2): AnchorAge(1, 7)}
    remember(tmp_path / "m", "snapshot", 5, snapshot_of(chunk(1)), [], ages)
    found = recall(tmp_path / "m")
    assert found is not None
    assert found.anchors == ages
    assert summarise(found.anchors.values()) == (2, 2.0)
    assert summarise([]) == (0, 0.0)


class _Older(msgspec.Struct, frozen=True):
    """What was remembered before anchors had ages."""

    snapshot: str
    content: int
    parts: list[Part]
    files: dict[bytes, int]


def test_a_memory_from_before_ages_is_still_understood(tmp_path: Path) -> None:
    record = msgspec.msgpack.encode(_Older("snapshot", 5, snapshot_of(chunk(1)), {}))
    (tmp_path / "m").write_bytes(blake3(record).digest() + record)
    found = recall(tmp_path / "m")
    assert found is not None
    assert (found.snapshot, found.anchors) == ("snapshot", {})


def test_a_memory_with_impossible_ages_is_none(tmp_path: Path) -> None:
    remember(tmp_path / "m", "snapshot", 5, [], [], {chunk(1): AnchorAge(3, -1)})
    assert os.path.exists(tmp_path / "m")
    assert recall(tmp_path / "m") is None
