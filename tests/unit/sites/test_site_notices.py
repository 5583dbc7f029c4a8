"""Which notices about sites count, whatever order they come in and whoever lacks some of them."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from holdfast.control.sites.states import Condition, KeptNotice, SiteStates, heads, states_of
from holdfast.vault.access.site_notices import SiteNotice

_CONDITIONS = ["failed", "draining", "rebuilding", "declared"]


@st.composite
def histories(draw: st.DrawFn) -> list[SiteNotice]:
    """Notices of people of whom each knew some of what was said before."""
    said: list[SiteNotice] = []
    for number in range(draw(st.integers(0, 8))):
        site = draw(st.sampled_from(["use1", "euw4"]))
        before = [one.id for one in said if one.site == site]
        known = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        said.append(
            SiteNotice(
                id=f"{number:026d}",
                site=site,
                condition=draw(st.sampled_from(_CONDITIONS)),
                at=draw(st.integers(0, 10)),
                reason="x",
                by=draw(st.sampled_from(["ann", "bela"])),
                over=tuple(known),
            )
        )
    return said


@given(histories(), st.randoms())
def test_the_order_in_which_notices_come_does_not_matter(said: list[SiteNotice], random: object) -> None:
    mixed = list(said)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert states_of(mixed) == states_of(said)


@given(histories())
def test_whoever_knew_all_has_the_last_word_whatever_their_clock_says(said: list[SiteNotice]) -> None:
    known = heads(said).get("use1", [])
    last = SiteNotice("z" * 26, "use1", "draining", 0, "last", "ann", tuple(one.id for one in known))
    state = states_of([*said, last])["use1"]
    assert (state.condition, state.rivals) == (Condition.DRAINING, ())


@given(histories())
def test_a_rival_is_told_of_and_only_what_differs_is_one(said: list[SiteNotice]) -> None:
    for site, state in states_of(said).items():
        first, *others = heads(said)[site]
        assert (state.notice, state.condition.value) == (first.id, first.condition)
        assert len(state.rivals) == sum(one.condition != first.condition for one in others)
        assert all(one.at <= first.at for one in others)


def test_what_this_machine_keeps_survives_it_and_forgets_no_document_that_counts(tmp_path: object) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    first = SiteNotice("a" * 26, "use1", "failed", 1, "fire", "ann")
    states = SiteStates("acme", environment)
    states.add({first.id: KeptNotice(first, {"v1": b"one"})})
    states.add({first.id: KeptNotice(first, {"v2": b"two"})})
    kept = SiteStates("acme", environment).notices()
    assert kept[first.id].documents == {"v1": b"one", "v2": b"two"}
    second = msgspec.structs.replace(first, id="b" * 26, condition="declared", over=(first.id,))
    states.add({second.id: KeptNotice(second)})
    kept = SiteStates("acme", environment).notices()
    assert kept[first.id].documents == {}  # nobody needs to be told of it any more
    assert SiteStates("acme", environment).read() == {}
