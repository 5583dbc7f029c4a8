"""The default objectives of the classes."""

from __future__ import annotations

import pytest

from holdfast.errors import UsageError
from holdfast.objectives import AssetClass, Objective, Placement, objective_of

HOUR = 3600.0


@pytest.mark.parametrize(
    ("asset_class", "rpo", "rto", "copies"),
    [
        ("weights", 0.0, HOUR, 2),
        ("training", 2 * HOUR, 4 * HOUR, 2),
        ("dataset", 24 * HOUR, 24 * HOUR, 2),
        ("registry", 300.0, HOUR, 2),
        ("inference", 300.0, 900.0, 2),
        ("development", 24 * HOUR, 24 * HOUR, 1),
        ("regulated", None, None, None),
    ],
)
def test_each_class_owes_what_the_table_says(
    asset_class: str, rpo: float | None, rto: float | None, copies: int | None
) -> None:
    objective = objective_of(asset_class)
    assert (objective.rpo_seconds, objective.rto_seconds, objective.copies) == (rpo, rto, copies)
    assert objective.asset_class == asset_class


def test_every_class_has_an_objective() -> None:
    assert {objective_of(asset_class).asset_class for asset_class in AssetClass} == set(AssetClass)


def test_only_training_tolerates_more_than_its_target() -> None:
    tolerant = [name for name in AssetClass if objective_of(name).rpo_tolerated_seconds is not None]
    assert tolerant == [AssetClass.TRAINING]
    assert objective_of(AssetClass.TRAINING).rto_tolerated_seconds == 8 * HOUR


def test_an_unknown_class_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'toys'") as caught:
        objective_of("toys")
    assert "training" in caught.value.hint


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_target_that_cannot_be_is_rejected(seconds: float) -> None:
    with pytest.raises(UsageError, match="dataset"):
        Objective(
            asset_class=AssetClass.DATASET,
            rpo_seconds=seconds,
            rto_seconds=1.0,
            copies=1,
            placement=Placement.REMOTE,
        )


def test_a_target_of_no_copies_is_rejected() -> None:
    with pytest.raises(UsageError, match="copy"):
        Objective(
            asset_class=AssetClass.DATASET, rpo_seconds=1.0, rto_seconds=1.0, copies=0, placement=Placement.REMOTE
        )
