"""A Keras model, protected by one callback: kill it at any time and start it again.

    KERAS_BACKEND=torch python examples/keras_fit.py --vault VAULT [--epochs 6] [--kill-at 4] [--result RESULT]

The vault is an existing one (`holdfast vault create VAULT`). Nothing is written to any other place. With --kill-at
the process kills itself (SIGKILL) at the beginning of that epoch, once a state is in the vault. RESULT gets the final
weights and the loss of every epoch of this run; the weights are the same bytes however often the training was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from holdfast.training.callbacks.keras import HoldfastCallback


class Dies(keras.callbacks.Callback):
    """As a machine does that is taken away: without a word, in the middle of an epoch."""

    def __init__(self, epoch: int, holdfast: HoldfastCallback) -> None:
        super().__init__()
        self._epoch, self._holdfast, self._now = epoch, holdfast, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._now = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._now == self._epoch and batch == 3:
            while self._holdfast.stats()["last_durable_step"] is None:
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str] | None = None) -> HoldfastCallback:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--vault", required=True)
    parser.add_argument("--output", type=Path, help="not used: nothing is written beside the vault")
    parser.add_argument("--asset", default="net")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--kill-at", type=int, default=0, metavar="EPOCH")
    parser.add_argument("--result", type=Path)
    options = parser.parse_args(arguments)

    keras.utils.set_random_seed(7)
    inputs = np.random.default_rng(1).standard_normal((64, 16), dtype=np.float32)
    model = keras.Sequential(
        [keras.Input((16,)), keras.layers.Dense(32, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse")

    holdfast = HoldfastCallback(options.vault, asset=options.asset)
    callbacks: list[keras.callbacks.Callback] = [holdfast]
    if options.kill_at:
        callbacks.append(Dies(options.kill_at, holdfast))
    targets = np.sin(inputs).sum(1, keepdims=True)
    history = model.fit(inputs, targets, batch_size=8, epochs=options.epochs, verbose=0, callbacks=callbacks)

    if options.result is not None:
        options.result.mkdir(parents=True, exist_ok=True)
        np.savez(options.result / "weights.npz", *model.get_weights())
        losses = dict(zip(history.epoch, history.history["loss"], strict=True))
        (options.result / "losses.json").write_text(json.dumps(losses))
    print(json.dumps(holdfast.stats()))
    return holdfast


if __name__ == "__main__":
    main()
