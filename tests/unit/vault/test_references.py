"""What a reference means: assets, pointers, steps, times, prefixes of ids."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.clock import ManualClock, to_rfc3339
from holdfast.errors import NotFoundError, UsageError
from holdfast.testing.workspace import TrialVault


@pytest.fixture
def find(trial: TrialVault) -> Any:
    return lambda reference: trial.open().find(reference).id


def test_an_asset_means_its_latest_snapshot(find: Any, make_snapshot: Any) -> None:
    make_snapshot()
    newest = make_snapshot()
    make_snapshot("other")
    assert find("llama") == find("llama@latest") == newest.id


def test_a_step_means_the_newest_snapshot_of_that_step(find: Any, make_snapshot: Any) -> None:
    make_snapshot(step=5)
    again = make_snapshot(step=5)
    make_snapshot(step=6)
    assert find("llama@step=5") == again.id
    with pytest.raises(NotFoundError, match="step=7"):
        find("llama@step=7")


def test_negative_and_odd_steps(find: Any, make_snapshot: Any) -> None:
    first = make_snapshot(step=-1)
    assert find("llama@step=-1") == first.id
    with pytest.raises(NotFoundError):
        find("llama@step=five")


def test_a_time_means_what_was_there_then(find: Any, make_snapshot: Any, clock: ManualClock) -> None:
    first = make_snapshot()
    between = clock.now_ns() + 60_000_000_000
    second = make_snapshot()
    assert find(f"llama@{to_rfc3339(between)}") == first.id
    assert find(f"llama@{to_rfc3339(clock.now_ns())}") == second.id
    with pytest.raises(NotFoundError):
        find("llama@2001-01-01T00:00:00Z")


def test_a_date_without_a_zone_is_utc(find: Any, make_snapshot: Any) -> None:
    first = make_snapshot()
    assert find("llama@2023-11-16") == first.id  # the clock of the tests begins on 2023-11-14


def test_a_tag_means_its_snapshot(find: Any, make_snapshot: Any, trial: TrialVault) -> None:
    tagged = make_snapshot(tags=["release"])
    make_snapshot()
    assert find("llama@release") == tagged.id
    trial.open().tag("llama", "release")
    assert find("llama@release") == find("llama")
    trial.open().untag("llama", "release")
    with pytest.raises(NotFoundError, match="release"):
        find("llama@release")


def test_a_tag_that_looks_like_a_date_is_a_tag(find: Any, make_snapshot: Any) -> None:
    tagged = make_snapshot(tags=["2024-01-01"])
    make_snapshot()
    assert find("llama@2024-01-01") == tagged.id


def test_tags_of_one_asset_mean_nothing_to_another(find: Any, make_snapshot: Any) -> None:
    make_snapshot(tags=["release"])
    make_snapshot("other")
    with pytest.raises(NotFoundError):
        find("other@release")


def test_an_id_and_its_beginning(find: Any, make_snapshot: Any) -> None:
    first, second = make_snapshot(), make_snapshot()
    for text in (first.id, first.id.upper(), f"llama@{first.id}"):
        assert find(text) == first.id
    same = next(n for n in range(26) if first.id[n] != second.id[n])
    assert find(first.id[: same + 1]) == first.id
    assert same >= 4, "ids of one hour begin alike"
    for ambiguous in (first.id[:same], f"llama@{first.id[:same]}"):
        with pytest.raises(UsageError, match="2 snapshots") as caught:
            find(ambiguous)
        assert "digits" in caught.value.hint


def test_three_digits_are_no_beginning(find: Any, make_snapshot: Any) -> None:
    with pytest.raises(NotFoundError):
        find(make_snapshot().id[:3])


def test_an_asset_may_have_an_at_sign_in_its_name(find: Any, make_snapshot: Any) -> None:
    odd = make_snapshot("team@home/llama")
    assert find("team@home/llama") == find("team@home/llama@latest") == odd.id


def test_names_in_either_unicode_form_are_one(find: Any, make_snapshot: Any) -> None:
    composed = make_snapshot("caf\u00e9")
    assert find("cafe\u0301") == composed.id


def test_validated_only_when_it_was_read_back(find: Any, make_snapshot: Any) -> None:
    make_snapshot(verify=False)
    with pytest.raises(NotFoundError, match="validated") as caught:
        find("llama@validated")
    assert "verify" in caught.value.hint
    proven = make_snapshot()
    make_snapshot(verify=False)
    assert find("llama@validated") == proven.id


def test_a_quarantined_snapshot_is_found_by_its_id_alone(find: Any, make_snapshot: Any) -> None:
    good = make_snapshot(step=1)
    held = make_snapshot(step=1, bad=True, policy="quarantine")
    assert held.validation.verdict == "quarantined"
    assert find("llama") == find("llama@step=1") == find("llama@2030-01-01") == good.id
    assert find(held.id) == held.id


def test_without_any_pointer_the_newest_content_counts(find: Any, make_snapshot: Any, trial: TrialVault) -> None:
    """A crash between the root and `latest`, or pointers that were lost."""
    make_snapshot()
    newest = make_snapshot()
    for info in list(trial.store.list("refs/")):
        trial.store.delete(info.key)
    assert find("llama") == newest.id


@pytest.mark.parametrize("reference", ["", "@", "@latest", "llama@", "llama@@", "llama@nothing", "nobody", "x" * 5000])
def test_what_means_nothing(find: Any, make_snapshot: Any, reference: str) -> None:
    make_snapshot()
    with pytest.raises(NotFoundError) as caught:
        find(reference)
    assert caught.value.hint
