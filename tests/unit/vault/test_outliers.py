"""Robust tests against the history: what stands out, what does not, and how much must be known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from holdfast.vault.format.records import Entry, TensorRecord
from holdfast.vault.saving.history import HISTORY, History, PastSnapshot, extended, sight_of, tensor_name
from holdfast.vault.saving.metrics import examine_metrics, metrics_as_meta, metrics_in
from holdfast.vault.saving.outliers import ENOUGH, examine_history, find_frozen, outlier

NAMES = ["embed", "attention.qkv", "mlp.up", "mlp.down", "head"]


def tensor(name: str, norm: float, *, reach: float = 1.0, zeros: int = 0, shape: int = 1000) -> TensorRecord:
    return TensorRecord(name, "f32", [shape], 0, 4 * shape, False, norm, 0, -reach, reach / 2, zeros)


def entry(*tensors: TensorRecord, path: bytes = b"model.safetensors") -> Entry:
    return Entry(path=path, type="file", mode=0o644, mtime=0, tensors=list(tensors))


def run(step: int) -> Entry:
    """A healthy run: norms that drift and tremble."""
    rng = np.random.default_rng(step)
    drift = 1 + 0.002 * step
    return entry(*(tensor(name, 10 * drift * (1 + 1e-4 * rng.normal()), reach=1 + 0.02 * step) for name in NAMES))


def history_of(steps: int) -> History:
    history = History()
    for step in range(steps):
        history = extended(history, str(step), [("m", run(step))], {})
    return history


def findings(now: Entry, history: History, parent: Entry | None = None) -> list[str]:
    return [one.check for one in examine_history("m", "m", now, parent, history)]


def test_a_healthy_run_has_no_finding() -> None:
    history = History()
    parent = None
    for step in range(60):
        assert findings(run(step), history, parent) == []
        parent = run(step)
        history = extended(history, str(step), [("m", parent)], {})
    assert len(history.snapshots) == HISTORY == len(history.rows(tensor_name("m", run(0).tensors[0])))


@pytest.mark.parametrize("factor", [1e3, 2.5, 0.3, 1e-6])
def test_one_tensor_of_another_size_is_an_outlier(factor: float) -> None:
    now = run(20)
    now.tensors[2] = tensor("mlp.up", 10 * factor, reach=1.4)
    [found] = examine_history("m", "model", now, run(19), history_of(20))
    assert (found.check, found.where) == ("norm-outlier", "model: mlp.up")
    assert f"the norm is {10 * factor:.4g}" in found.message and "the last 16 snapshots" in found.message


def test_one_value_that_sticks_out_is_of_the_range() -> None:
    now = run(20)
    now.tensors[0] = tensor("embed", now.tensors[0].norm or 0, reach=50.0)
    assert findings(now, history_of(20)) == ["range-outlier"]


def test_a_tensor_of_zeros_is_found_even_with_one_snapshot_before() -> None:
    now = run(20)
    now.tensors[4] = tensor("head", 0.0, reach=0.0, zeros=1000)
    assert findings(now, History(), run(19)) == ["zeros-jump"]
    assert findings(now, history_of(20)) == ["zeros-jump"]
    sparse = entry(tensor("head", 1.0, zeros=900))
    assert findings(sparse, History(), entry(tensor("head", 1.0, zeros=880))) == [], "it was sparse before"


def test_weights_that_all_go_back_are_a_reset() -> None:
    assert findings(run(0), history_of(50), run(49)) == ["reset"]
    one = run(50)
    one.tensors[0] = run(0).tensors[0]
    assert findings(one, history_of(50), run(49)) == [], "one tensor may step"


@pytest.mark.parametrize("known", range(ENOUGH))
def test_too_little_is_known(known: int) -> None:
    assert outlier(1e9, [1.0] * known, 0.1) is None


def test_median_and_mad_survive_bad_snapshots_in_the_history() -> None:
    before = [1.0, 1.01, 0.99, 1.0, 1.02, 1e9, 1e9]
    assert outlier(1.01, before, 0.05) is None
    assert outlier(3.0, before, 0.05) is not None
    spread = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert outlier(3 + 3.4 / 0.6745, spread, 0.0) is None
    assert outlier(3 + 3.6 / 0.6745, spread, 0.0) is not None


def test_moments_may_follow_the_gradients() -> None:
    history = History()
    for step in range(10):
        history = extended(history, str(step), [("m", entry(tensor("exp_avg_sq.head", 1e-9)))], {})
    assert findings(entry(tensor("exp_avg_sq.head", 1e-5)), history) == []
    assert findings(entry(tensor("exp_avg_sq.head", 1e5)), history) == ["norm-outlier"]


def test_another_shape_begins_another_history() -> None:
    history = history_of(20)
    assert findings(entry(tensor("embed", 1e6, shape=2000)), history) == []


def test_a_change_that_stays_is_the_new_normal_after_half_the_window() -> None:
    history, alarms = history_of(20), 0
    for step in range(20, 40):
        now = run(step)
        now.tensors[0] = tensor("embed", 100.0)
        alarms += bool(findings(now, history))
        history = extended(history, str(step), [("m", now)], {})
    assert 0 < alarms <= HISTORY // 2


def test_a_tensor_that_stands_still_while_others_move() -> None:
    history, now = history_of(20), run(20)
    now.tensors[1] = run(19).tensors[1]
    assert find_frozen("m", now, history) == ["attention.qkv"]
    assert find_frozen("m", run(19), history) == [], "nothing moved: it is the same file"
    assert find_frozen("m", run(20), history) == []


def test_rows_say_what_the_manifest_says() -> None:
    row = sight_of(tensor("a", math.e**2, reach=math.e, zeros=250))
    assert (row.norm, row.reach, row.zeros) == pytest.approx((2.0, 1.0, 0.25))
    assert sight_of(tensor("a", 0.0, reach=0.0)).norm == -math.inf
    old = TensorRecord("a", "f32", [9], 0, 36, False, 1.0, 0)
    assert math.isnan(sight_of(old).reach) and math.isnan(sight_of(old).zeros)
    assert findings(entry(*[TensorRecord("a", "f32", [99], 0, 396, False, 1.0, 0)] * 3), history_of(20)) == []


def losses(*values: float) -> History:
    return History([PastSnapshot(str(number), {"loss": value}) for number, value in enumerate(values)])


FALLING = [4.0, 3.2, 2.8, 2.5, 2.3, 2.2, 2.15, 2.1]


def test_a_loss_that_spikes_is_found_and_one_that_falls_is_not() -> None:
    assert examine_metrics({"loss": 1.9}, losses(*FALLING)) == []
    assert examine_metrics({"loss": 0.1}, losses(*FALLING)) == []
    [found] = examine_metrics({"loss": 9.0}, losses(*FALLING))
    assert (found.check, found.where) == ("metric-outlier", "metric loss")
    assert found.message.startswith("it is 9; in the last 8 snapshots its median was 2.4")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_found_at_once(value: float) -> None:
    assert [one.check for one in examine_metrics({"anything": value}, History())] == ["metric-outlier"]


def test_only_metrics_whose_direction_is_known_are_compared() -> None:
    history = History([PastSnapshot(str(n), {"learning_rate": 1e-4, "accuracy": 0.8}) for n in range(8)])
    assert examine_metrics({"learning_rate": 1e-2}, history) == []
    assert examine_metrics({"accuracy": 0.95}, history) == []
    assert [one.where for one in examine_metrics({"accuracy": 0.1}, history)] == ["metric accuracy"]


def test_metrics_are_kept_as_the_same_number() -> None:
    metrics = {"loss": 0.1 + 0.2, "eval/loss": 1e-300, "bad": math.inf}
    assert metrics_in(metrics_as_meta(metrics) | {"git": "abc", "metric.odd": "no number"}) == metrics


@pytest.mark.parametrize("name", ["f1", "eval_f1", "eval/f1", "val_map", "acc_norm", "eval_acc"])
def test_the_direction_of_a_metric_is_told_by_a_word_of_its_name(name: str) -> None:
    history = History([PastSnapshot(str(n), {name: 0.8}) for n in range(8)])
    assert [one.where for one in examine_metrics({name: 0.1}, history)] == [f"metric {name}"]
    assert examine_metrics({name: 0.95}, history) == []


@pytest.mark.parametrize("name", ["maps", "accesses", "pplx", "f16_share"])
def test_a_piece_of_another_word_tells_none(name: str) -> None:
    history = History([PastSnapshot(str(n), {name: 0.8}) for n in range(8)])
    assert examine_metrics({name: 0.1}, history) == examine_metrics({name: 9.0}, history) == []
