"""Looks, observers, conditions and limits, on their own: who can make something bad, and who cannot."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.config.conditions import AtLeast, Lasting, Not, Probed, names_in, parse_condition, shown_condition
from holdfast.detection.deciding import Truth, evaluate
from holdfast.detection.limits import Begun, Limit, limit_problem
from holdfast.detection.looks import Look, State, Terms, Track, after
from holdfast.detection.observations import Observation, Seen, decode_observation, encode_observation
from holdfast.detection.quorum import Place, Report, Verdict, judge
from holdfast.errors import DamageError, UsageError

S = 1_000_000_000
NOW = 1_700_000_000 * S
STATES = st.sampled_from(list(State))


TERMS = Terms()


def _tracked(states: str, terms: Terms = TERMS) -> Track:
    """`b`ad, `g`ood, `u`nknown, one a second."""
    track = Track()
    for number, one in enumerate(states):
        state = {"b": State.BAD, "g": State.GOOD, "u": State.UNKNOWN}[one]
        track = after(track, Look(state=state, at=NOW + number * S), terms)
    return track


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("", State.UNKNOWN),
        ("g", State.UNKNOWN),
        ("ggg", State.GOOD),
        ("gggb", State.GOOD),
        ("gggbb", State.GOOD),
        ("gggbbb", State.BAD),
        ("gggbgbgb", State.BAD),  # three of the last five
        ("gggbggbggb", State.GOOD),  # never three of five
        ("bbbgg", State.BAD),
        ("bbbggbgg", State.BAD),
        ("bbbggg", State.GOOD),
        ("bbbuuuuu", State.UNKNOWN),
        ("gggu", State.GOOD),
        ("bbb", State.BAD),
    ],
)
def test_n_of_m_bad_looks_open_and_n_good_ones_in_a_row_close(states: str, expected: State) -> None:
    assert _tracked(states).state is expected


def test_since_and_the_last_good_look_are_kept() -> None:
    track = _tracked("gggbbb")
    assert track.since == NOW + 5 * S
    assert track.last_good == NOW + 2 * S


@given(st.lists(STATES, max_size=60), st.integers(1, 4), st.integers(0, 3), st.integers(1, 4))
def test_what_never_was_bad_often_enough_is_never_bad(states: list[State], needed: int, more: int, close: int) -> None:
    terms = Terms(open_after=needed, of=needed + more, close_after=close)
    track, bad = Track(), False
    for number, state in enumerate(states):
        track = after(track, Look(state=state, at=NOW + number * S), terms)
        window = [one for one in states[: number + 1] if one is not State.UNKNOWN][-terms.of :]
        if track.state is State.BAD and not bad:
            assert window.count(State.BAD) >= needed
        bad = track.state is State.BAD


def _report(
    label: str,
    states: dict[str, State],
    *,
    at: int = NOW,
    found_at: tuple[str, ...] = ("third",),
    signer: str = "",
    place: str = "",
) -> Report:
    probes = {name: Seen(state=state, since=at, last_good=at - S) for name, state in states.items()}
    observer = f"{label}/{place}" if place else label
    return Report(
        observation=Observation(observer=observer, at=at, probes=probes), signer=signer or label, found_at=found_at
    )


PLACE = Place(name="p", quorum=2, fault_site="home")


def _state(*reports: Report, place: Place = PLACE, sites: dict[str, str] | None = None) -> State:
    return judge(place, reports, NOW, 60.0, sites).state


def test_two_observers_make_it_bad_and_one_never_does() -> None:
    bad = {"p": State.BAD}
    assert _state(_report("a", bad), _report("b", bad)) is State.BAD
    assert _state(_report("a", bad)) is State.UNKNOWN
    assert _state(_report("a", bad), _report("b", {"p": State.GOOD})) is State.UNKNOWN
    assert _state(_report("a", bad), _report("b", {"p": State.GOOD}), _report("c", {"p": State.GOOD})) is State.GOOD


def test_one_key_has_one_voice_wherever_it_looks_from() -> None:
    bad, good = {"p": State.BAD}, {"p": State.GOOD}
    assert _state(_report("a", bad, place="x"), _report("a", bad, place="y")) is State.UNKNOWN
    assert _state(_report("a", bad, place="x"), _report("a", good, place="y"), _report("b", bad)) is State.UNKNOWN
    assert _state(_report("a", bad, place="x"), _report("a", bad, place="y"), _report("b", bad)) is State.BAD


def test_who_speaks_in_anothers_name_has_no_voice() -> None:
    bad = {"p": State.BAD}
    assert _state(_report("a", bad), _report("b", bad, signer="a")) is State.UNKNOWN


def test_what_is_stale_or_of_the_future_counts_for_nothing() -> None:
    bad = {"p": State.BAD}
    assert _state(_report("a", bad), _report("b", bad, at=NOW - 61 * S)) is State.UNKNOWN
    assert _state(_report("a", bad), _report("b", bad, at=NOW + 61 * S)) is State.UNKNOWN
    assert _state(_report("a", bad), _report("b", bad, at=NOW + 30 * S)) is State.BAD


def test_who_sees_nothing_elsewhere_abstains() -> None:
    """Cut off with the home alone: its word is only found there, and nothing else of it is good."""
    cut = _report("a", {"p": State.BAD, "q": State.BAD}, found_at=("home",))
    assert _state(cut, _report("b", {"p": State.BAD})) is State.UNKNOWN
    sees = _report("a", {"p": State.BAD, "q": State.GOOD}, found_at=("home",))
    assert _state(sees, _report("b", {"p": State.BAD}), sites={"q": "second"}) is State.BAD
    assert _state(sees, _report("b", {"p": State.BAD}), sites={"q": "home"}) is State.UNKNOWN


def test_only_the_observers_of_a_probe_have_a_voice() -> None:
    bad = {"p": State.BAD}
    place = Place(name="p", quorum=2, observers=("b", "c"))
    assert _state(_report("a", bad), _report("b", bad), place=place) is State.UNKNOWN


REPORTS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["p", "q"]), STATES),
        st.integers(-200, 200),
        st.sampled_from(["", "x", "y", "z"]),
        st.sampled_from(["liar", "a", "b"]),
        st.lists(st.sampled_from(["home", "second", "third"])),
    ),
    max_size=8,
)
SEES_GOOD = st.lists(st.sampled_from([State.GOOD, State.UNKNOWN]), max_size=3)


@given(REPORTS, SEES_GOOD)
def test_nothing_that_one_key_says_makes_it_bad(
    said: list[tuple[dict[str, State], int, str, str, list[str]]], others: list[State]
) -> None:
    """Whatever it signs, in whose name, from how many places and times, while nobody else says bad."""
    reports = [
        _report(label, states, at=NOW + when * S, place=place, signer="liar", found_at=tuple(sites))
        for states, when, place, label, sites in said
    ]
    reports += [_report(f"honest{number}", {"p": state}) for number, state in enumerate(others)]
    assert judge(PLACE, reports, NOW, 60.0, {"q": "second"}).state is not State.BAD


def _verdicts(**states: str) -> dict[str, Verdict]:
    named = {"b": State.BAD, "g": State.GOOD, "u": State.UNKNOWN}
    return {name: Verdict(name=name, state=named[state], why="") for name, state in states.items()}


@pytest.mark.parametrize(
    ("text", "states", "expected"),
    [
        ("a", {"a": "b"}, "true"),
        ("a", {"a": "g"}, "false"),
        ("a", {"a": "u"}, "unknown"),
        ("a", {}, "unknown"),
        ("NOT a", {"a": "g"}, "true"),
        ("NOT a", {"a": "u"}, "unknown"),
        ("a AND b", {"a": "b", "b": "u"}, "unknown"),
        ("a AND b", {"a": "g", "b": "u"}, "false"),
        ("a OR b", {"a": "b", "b": "u"}, "true"),
        ("a OR b", {"a": "g", "b": "u"}, "unknown"),
        ("ATLEAST 2 OF (a, b, c)", {"a": "b", "b": "b", "c": "u"}, "true"),
        ("ATLEAST 2 OF (a, b, c)", {"a": "b", "b": "u", "c": "g"}, "unknown"),
        ("ATLEAST 2 OF (a, b, c)", {"a": "b", "b": "g", "c": "g"}, "false"),
        ("a FOR 5m", {"a": "b"}, "false"),
        ("a FOR 0s", {"a": "b"}, "true"),
        ("a FOR 5m", {"a": "u"}, "unknown"),
        ("NOT a FOR 5m", {"a": "b"}, "false"),
    ],
)
def test_conditions_have_three_values(text: str, states: dict[str, str], expected: str) -> None:
    because, _ = evaluate(parse_condition(text), _verdicts(**states), NOW, {})
    assert because.truth.value == expected
    assert because.lines()[0].startswith(shown_condition(parse_condition(text)))


def test_waiting_begins_anew_after_every_break() -> None:
    condition, since = parse_condition("a FOR 60s"), {}
    truths = []
    for second, state in enumerate("bbgbbbb"):
        because, since = evaluate(condition, _verdicts(a=state), NOW + second * 30 * S, since)
        truths.append(because.truth)
    assert [one is Truth.TRUE for one in truths] == [False, False, False, False, False, True, True]
    because, _ = evaluate(condition, _verdicts(a="b"), NOW + 1000 * S, since, suspended=True)
    assert because.truth is Truth.FALSE  # nobody looked for a while
    because, _ = evaluate(condition, _verdicts(a="b"), NOW - 1000 * S, since)
    assert because.truth is Truth.FALSE  # a clock that went back


NAMES = st.sampled_from(["a", "b", "c-1", "d.e"])
CONDITIONS = st.recursive(
    NAMES.map(Probed),
    lambda inner: st.one_of(
        inner.map(Not),
        st.tuples(inner, st.integers(0, 10_000)).map(lambda one: Lasting(one[0], float(one[1]))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: AtLeast(1, tuple(parts), "OR")),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: AtLeast(len(parts), tuple(parts), "AND")),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AtLeast(1, tuple(parts), "ATLEAST")),
    ),
    max_leaves=5,
)


@given(CONDITIONS)
def test_a_condition_is_read_as_it_is_shown(condition: object) -> None:
    text = shown_condition(condition)  # type: ignore[arg-type]
    if len(text) <= 400:
        assert parse_condition(text) == condition


@given(CONDITIONS, st.dictionaries(NAMES, st.sampled_from("bgu")))
def test_what_is_true_stays_true_whatever_the_unknown_turns_out_to_be(
    condition: object, states: dict[str, str]
) -> None:
    """So UNKNOWN never starts anything that knowing more would not have started."""
    truth = evaluate(condition, _verdicts(**states), NOW, {})[0].truth  # type: ignore[arg-type]
    unknown = [name for name in names_in(condition) if states.get(name, "u") == "u"]  # type: ignore[arg-type]
    if truth is not Truth.UNKNOWN:
        for told in ("b", "g"):
            known = states | dict.fromkeys(unknown, told)
            assert evaluate(condition, _verdicts(**known), NOW, {})[0].truth is truth  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        *("", "AND", "a b", "a AND", "(a", "a)", "ATLEAST 3 OF (a, b)", "ATLEAST 0 OF (a)", "a FOR", "a FOR soon"),
        *("a FOR -1s", "NOT", "ATLEAST x OF (a)", "a,b", "(" * 50 + "a" + ")" * 50, "NOT " * 60 + "a", "a" * 500),
        *("a\nb", "é"),
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_condition(text)


@given(st.lists(st.booleans(), min_size=1, max_size=400), st.integers(1, 3), st.integers(0, 50))
def test_flapping_starts_no_more_than_the_limit_allows(bad: list[bool], at_most: int, cooldown: int) -> None:
    """A round each ten seconds; each time the condition is true a run is begun if the limits allow it."""
    own = Limit(at_most=at_most, within_s=600.0, cooldown_s=cooldown * 10.0)
    begun: list[Begun] = []
    for number, true in enumerate(bad):
        now = NOW + number * 10 * S
        if true and not limit_problem(begun, "r", own, Limit(at_most=2, within_s=600.0), now):
            begun.append(Begun(recovery="r", at=now))
    for one in begun:
        window = [other for other in begun if one.at <= other.at < one.at + 600 * S]
        assert len(window) <= min(at_most, 2)
    for one, other in pairwise(begun):
        assert other.at - one.at >= cooldown * 10 * S


def test_a_clock_that_is_put_back_allows_nothing_more() -> None:
    begun = [Begun(recovery="r", at=NOW)]
    limit = Limit(at_most=1, within_s=60.0)
    assert limit_problem(begun, "r", limit, Limit(at_most=9, within_s=60.0), NOW - 10_000 * S)
    assert not limit_problem(begun, "r", limit, Limit(at_most=9, within_s=60.0), NOW + 61 * S)
    assert limit_problem(begun, "other", limit, Limit(at_most=1, within_s=60.0), NOW + S).endswith("together")


def test_an_observation_reads_as_it_was_written_and_nothing_else_does() -> None:
    said = Observation(observer="a/x", at=NOW, probes={"p": Seen(state=State.BAD, text="it is gone", value=1.5)})
    assert decode_observation("n", encode_observation(said)) == said
    for body in (b"", b"[]", b'{"observer":"","at":1,"probes":{}}', b'{"observer":"a","at":-1,"probes":{}}', b"\xff"):
        with pytest.raises(DamageError):
            decode_observation("n", body)
