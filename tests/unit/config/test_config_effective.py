"""What counts in the end, whence it comes, and where copies lie."""

from __future__ import annotations

import pytest
from config_texts import ALONE, PAGE, SMALL, changed, config_of, example

from holdfast.config.effective import Rules, effective, landing_tier, restore_time
from holdfast.config.model import ClassSpec, Config, Place, StoreSpec
from holdfast.config.placing import Placement, place
from holdfast.config.words import Stripes, Tier
from holdfast.objectives import AssetClass, objective_of
from holdfast.units import parse_duration

HOUR = 3600.0
DAY = 24 * HOUR


def placement_of(config: Config, name: str) -> Placement:
    placed = place(config, effective(config, name))
    assert placed.faults == [] and placed.placement is not None
    return placed.placement


def test_the_nearest_level_that_says_something_decides() -> None:
    text = changed(
        "gold: {like: weights, rto: 2h}", "gold: {like: weights, rto: 2h}\n  weights: {rto: 9h, verify_every: 1d}"
    )
    text = changed("path: /models/best", "path: /models/best\n    priority: 9", text)
    owed = effective(config_of(text), "best")
    assert owed.kind is AssetClass.WEIGHTS
    assert (owed.priority.value, owed.priority.source) == (9, "from the asset")
    assert (owed.rto.value, owed.rto.source, owed.rto.path) == (2 * HOUR, "from class gold", ("classes", "gold", "rto"))
    assert (owed.verify_every.value, owed.verify_every.source) == (DAY, "from class weights")
    assert (owed.rpo.value, owed.rpo.source, owed.rpo.path) == (0.0, "default of class weights", ())
    assert (owed.replicate_every.value, owed.replicate_every.source) == (60.0, "default")
    assert owed.immutable.value is True


@pytest.mark.parametrize("kind", list(AssetClass))
def test_defaults_are_those_of_objectives_and_of_the_page(kind: AssetClass) -> None:
    text = changed("class: dataset", f"class: {kind}")
    config = config_of(SMALL)
    owed = effective(
        Config(version=1, organisation="x", sites=config.sites, assets={"a": _of_class(text, kind)}, classes={}), "a"
    )
    objective = objective_of(kind)
    assert (owed.rpo.value, owed.rto.value) == (objective.rpo_seconds, objective.rto_seconds)
    assert owed.copies.value == objective.copies
    [row] = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(f"| {kind} |")]
    rpo, rto, copies, verify, priority, immutable = [cell.strip() for cell in row.strip("|").split("|")][1:]

    def seconds(text: str) -> float | None:
        return None if text == "–" else 0.0 if text == "0" else parse_duration(text)

    assert (owed.rpo.value, owed.rto.value) == (seconds(rpo), seconds(rto))
    assert owed.copies.value == (None if copies == "–" else int(copies))
    assert owed.verify_every.value == seconds(verify)
    assert owed.priority.value == int(priority)
    assert owed.immutable.value is (immutable == "yes")


def _of_class(text: str, kind: AssetClass):
    from holdfast.config.parsing import check_config

    checked = check_config(text.encode(), "x")
    assert checked.config is not None
    return checked.config.assets["data"]


def test_rules_of_all_levels_hold_together() -> None:
    config = config_of(changed("only_jurisdiction: EU, stripes", "only_jurisdiction: EU, not_in: XX, stripes"))
    classes = {"dataset": ClassSpec(place=Place(only_jurisdiction=("EU", "US"), not_in=("CN",)))}
    both = Config(
        version=1, organisation="x", sites=config.sites, assets=config.assets, classes=classes | config.classes
    )
    rules = effective(both, "data").rules
    assert rules.only == {"EU"} and rules.not_in == {"CN", "XX"}
    assert len(rules.paths) == 4
    assert [rules.allows(one) for one in ("EU", "US", "CN", "XX")] == [True, False, False, False]
    assert str(Rules(None, frozenset(), ())) == "anywhere"
    assert Rules(None, frozenset(), ()).allows("XX")


def test_an_unknown_class_is_no_class() -> None:
    config = config_of(SMALL)
    with pytest.raises(KeyError):
        effective(Config(version=1, organisation="x", sites=config.sites, assets=config.assets), "best")
    with pytest.raises(KeyError):
        effective(config, "nothing")


def test_copies_that_are_named() -> None:
    found = placement_of(config_of(SMALL), "run")
    assert (found.home, found.synchronous, found.asynchronous) == ("use1", ("use1",), ("euw4",))
    assert (found.quorum, found.stripes, found.losses, found.chosen) == (1, None, 1, False)
    assert found.tiers == {"use1": Tier.WARM, "euw4": Tier.WARM}


def test_weights_wait_for_two() -> None:
    assert placement_of(config_of(SMALL), "best").quorum == 2
    three = config_of(changed("synchronous: [use1, eun]", "synchronous: [use1, eun, euw4]"))
    assert placement_of(three, "best").quorum == 2
    assert placement_of(three, "best").losses == 2


def test_all_that_are_synchronous_are_waited_for_unless_a_quorum_says_otherwise() -> None:
    named = changed("{synchronous: [use1], asynchronous: [euw4]}", "{synchronous: [use1, euw4, fra]}", ALONE)
    assert placement_of(config_of(named), "run").quorum == 3
    fewer = changed("[use1, euw4, fra]", "[use1, euw4, fra], quorum: 2", named)
    assert placement_of(config_of(fewer), "run").quorum == 2


def test_sites_that_nobody_named_are_the_first_that_the_rules_allow_in_different_domains() -> None:
    none = config_of(changed("    place: {synchronous: [use1], asynchronous: [euw4]}\n", "", ALONE))
    found = placement_of(none, "run")
    assert (found.synchronous, found.asynchronous, found.chosen) == (("use1",), ("euw4s",), True)  # not use1b
    ruled = config_of(
        changed("place: {synchronous: [use1], asynchronous: [euw4]}", "place: {not_in: US}\n    copies: 3", ALONE)
    )
    assert placement_of(ruled, "run").sites == ("euw4s", "euns", "fra")
    home = config_of(changed("place: {synchronous: [use1], asynchronous: [euw4]}", "home: eun", ALONE))
    assert placement_of(home, "run").sites == ("eun", "use1")
    locks = changed("    place: {synchronous: [use1, eun]}\n", "", ALONE).replace(
        "gs://stripes-euw4", "gs://stripes-euw4, lock: 1d"
    )
    found = placement_of(config_of(locks), "best")
    assert (found.synchronous, found.asynchronous, found.quorum) == (("use1", "euw4s"), (), 2)


def test_the_home_comes_first_and_may_name_its_tier() -> None:
    text = changed("place: {synchronous: [use1], asynchronous: [euw4]}", "place: {asynchronous: [euw4, use1]}")
    assert placement_of(config_of(text), "run").sites == ("euw4", "use1")
    at = changed("watch: /ckpt/run", "watch: /ckpt/run\n    home: use1/hot", text)
    found = placement_of(config_of(at), "run")
    assert (found.sites, found.tiers["use1"]) == (("use1", "euw4"), Tier.HOT)


def test_stripes_lie_over_their_sites_and_a_save_waits_for_all() -> None:
    found = placement_of(config_of(SMALL), "data")
    assert (found.sites, found.quorum, found.stripes, found.losses) == (("euw4s", "euns", "fra"), 3, Stripes(2, 1), 1)
    assert found.tiers["fra"] is Tier.COLD
    page = placement_of(config_of(example()), "customer-data")
    assert page.sites == ("fra-stripes", "euw4-stripes", "eun")


def test_the_tier_of_new_snapshots_and_how_soon_stores_answer() -> None:
    store = StoreSpec(url="x")
    assert landing_tier({Tier.COLD: store, Tier.HOT: store}) is Tier.HOT
    assert landing_tier({Tier.COLD: store, Tier.HOT: store, Tier.WARM: store}) is Tier.WARM
    assert [restore_time(tier, store).value for tier in Tier] == [60.0, 600.0, 3600.0]
    assert restore_time(Tier.COLD, StoreSpec(url="x", restore=5.0)).source == "from the store"
