"""The hand-written gradients, and what makes a run repeatable."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.drills.trainer.adamw import AdamW
from holdfast.drills.trainer.model import SHAPES, Model, Shape
from holdfast.drills.trainer.parameters import Parameters
from holdfast.drills.trainer.text import Batches, load_corpus

TINY = Shape(width=12, layers=2, heads=3, context=5, batch=2, vocabulary=17)


def tiny_model() -> Model:
    """Float64, and no weight is zero: a zero end would hide the gradients behind it."""
    model = Model(TINY, np.float64)
    model.weights.flat[:] = np.random.default_rng(5).normal(0.0, 0.3, model.weights.flat.size)
    return model


def tiny_batch() -> tuple[np.ndarray, np.ndarray]:
    tokens = np.random.default_rng(6).integers(0, TINY.vocabulary, (TINY.batch, TINY.context + 1))
    return tokens[:, :-1], tokens[:, 1:]


@pytest.mark.parametrize("dropout_seed", [None, 11])
def test_gradients_agree_with_central_differences(dropout_seed: int | None) -> None:
    model, (inputs, targets) = tiny_model(), tiny_batch()

    def loss() -> float:
        rng = None if dropout_seed is None else np.random.default_rng(dropout_seed)
        return model.loss_and_gradients(inputs, targets, rng)

    loss()
    expected = {name: view.copy() for name, view in model.gradients.items()}
    chooser = np.random.default_rng(7)
    for name, view in model.weights.items():
        for position in chooser.choice(view.size, size=min(6, view.size), replace=False):
            place = np.unravel_index(position, view.shape)
            kept, width = view[place], 1e-5
            view[place] = kept + width
            above = loss()
            view[place] = kept - width
            below = loss()
            view[place] = kept
            assert (above - below) / (2 * width) == pytest.approx(expected[name][place], rel=1e-4, abs=1e-8), name


def test_a_position_does_not_see_the_future() -> None:
    model, (inputs, _) = tiny_model(), tiny_batch()
    changed = inputs.copy()
    changed[:, -1] = (changed[:, -1] + 1) % TINY.vocabulary
    x, y = model._embed(inputs), model._embed(changed)
    for layer in range(TINY.layers):
        x, y = model._block(layer, x, TINY.batch, None)[0], model._block(layer, y, TINY.batch, None)[0]
    last = np.arange(len(x)) % TINY.context == TINY.context - 1
    assert np.array_equal(x[~last], y[~last])
    assert not np.array_equal(x[last], y[last])


def test_the_first_loss_is_that_of_guessing() -> None:
    model, (inputs, targets) = Model(TINY), tiny_batch()
    model.initialise(np.random.default_rng(1))
    assert model.loss_and_gradients(inputs, targets, None) == pytest.approx(np.log(TINY.vocabulary), rel=1e-5)


@pytest.mark.parametrize(("size", "least", "most"), [("small", 1_000_000, 2_000_000), ("medium", 15e6, 20e6)])
def test_models_have_the_promised_size(size: str, least: float, most: float) -> None:
    assert least <= Model(SHAPES[size]).weights.flat.size <= most


def test_adamw_agrees_with_its_definition() -> None:
    shapes = {"matrix": (3, 4), "gain": (4,)}
    weights, gradients = Parameters(shapes, np.float64), Parameters(shapes, np.float64)
    rng = np.random.default_rng(3)
    weights.flat[:] = rng.normal(size=weights.flat.size)
    optimizer = AdamW(weights)
    mean, square = np.zeros(16), np.zeros(16)
    expected = weights.flat.copy()
    for step in range(1, 15):
        gradient = rng.normal(size=16) * (0.01 if step % 2 else 10.0)  # below and above the clipping norm
        gradients.flat[:] = gradient
        optimizer.update(weights, gradients, step)
        gradient = gradient * min(1.0, 1.0 / float(np.linalg.norm(gradient)))
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.95 * square + 0.05 * gradient**2
        rate = 2e-3 * min(1.0, step / 10)
        expected[:12] *= 1 - rate * 0.1  # matrices decay, gains do not
        expected -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.95**step)) + 1e-8)
        assert np.allclose(weights.flat, expected, rtol=1e-12, atol=0)


def test_an_epoch_reads_every_window_once_and_the_next_in_another_order() -> None:
    corpus = np.random.default_rng(8).bytes(961)  # 60 windows of 16 and a byte
    batches = Batches(corpus, context=16, batch=3, seed=1)
    first, second = ([bytes(row.astype(np.uint8)) for _ in range(20) for row in batches.next()[0]] for _ in range(2))
    windows = {corpus[start : start + 16] for start in range(0, 960, 16)}
    assert len(windows) == len(first) == 60
    assert set(first) == set(second) == windows
    assert first != second
    assert batches.state.epoch == 1


def test_targets_are_the_inputs_one_byte_later() -> None:
    inputs, targets = Batches(load_corpus(), context=32, batch=4, seed=2).next()
    assert np.array_equal(inputs[:, 1:], targets[:, :-1])


def test_reading_goes_on_where_a_state_was_taken() -> None:
    one, other = (Batches(bytes(range(256)) * 4, context=16, batch=5, seed=9) for _ in range(2))
    for _ in range(17):
        one.next()
    other.seek(one.state)
    for _ in range(20):  # past the end of an epoch
        assert np.array_equal(one.next()[0], other.next()[0])
