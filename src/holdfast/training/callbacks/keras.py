"""Keras 3 with any backend: the state at the end of an epoch goes to the vault, and comes back before the first.

    model.fit(..., callbacks=[HoldfastCallback("VAULT", asset="net")])

Saved are the variables of the model, with the seeds of its dropouts, of the optimizer and of the metrics, the number
of finished epochs, and the states of Python's, NumPy's and PyTorch's generators, which shuffle the data. `fit` can
begin at an epoch and not within one, so nothing is saved between (as in `keras.callbacks.BackupAndRestore`, whose
hooks these are).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from holdfast.errors import UsageError
from holdfast.training.callbacks.extras import missing_extra
from holdfast.training.callbacks.shipping import Shipper, Where
from holdfast.training.circumstances.randoms import random_states, restore_random_states

try:
    import keras
except ImportError as error:
    raise missing_extra("keras", "keras", error) from error

__all__ = ["HoldfastCallback"]

_END_WAIT_SECONDS = 600.0


class HoldfastCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves every so many epochs, never stops training (see `stats`), and with `resume` goes on from the newest good
    one.

    The model must be built when `fit` begins. With several processes each calls `fit`: pass `saves=False` on all but
    one; all of them resume. `end_wait_seconds`: how long the end of training waits for what is on its way. Further
    arguments are those of `holdfast.training.Saver`. Resuming raises what reading raises, and UsageError for another
    model.
    """

    def __init__(
        self,
        vault: Where,
        *,
        asset: str,
        every_epochs: int = 1,
        resume: bool = True,
        saves: bool = True,
        end_wait_seconds: float = _END_WAIT_SECONDS,
        **saver: Any,
    ) -> None:
        super().__init__()
        if every_epochs < 1:
            raise UsageError(f"saving every {every_epochs} epochs makes no sense")
        self._shipper = Shipper(vault, asset, **saver)
        self._every_epochs = every_epochs
        self._resume = resume
        self._saves = saves
        self._end_wait_seconds = end_wait_seconds

    def stats(self) -> dict[str, Any]:
        """What was saved, what failed and why: see `Shipper.stats`."""
        return self._shipper.stats()

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._resume and self._shipper.has_candidates():
            self._restore(self._shipper.newest_state())

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if not self._saves or (epoch + 1) % self._every_epochs:
            return
        with self._shipper.troubles.caught("handing the state over"):
            state = {"epoch": epoch + 1, "variables": _variables(self.model), "random": random_states()}
            metrics = {name: float(value) for name, value in (logs or {}).items()}
            self._shipper.send_state(state, step=epoch + 1, metrics=metrics, metadata={"framework": "keras"})

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        with self._shipper.troubles.caught("ending"):
            deadline = time.monotonic() + self._end_wait_seconds
            self._shipper.settle(max(0.0, deadline - time.monotonic()))

    def _restore(self, state: Any) -> None:
        if not isinstance(state, dict) or not {"epoch", "variables", "random"} <= state.keys():
            raise UsageError("the snapshot is none of this callback", hint="give its states an asset of their own")
        if not self.model.built:
            raise UsageError("the model must be built before `fit`", hint="give it an Input, or call it on a batch")
        if self.model.optimizer is not None and not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        saved, here = state["variables"], _own_variables(self.model)
        wrong = [name for name in saved.keys() ^ here.keys() if not name.startswith("metrics/")]
        wrong += [name for name in saved.keys() & here.keys() if tuple(saved[name].shape) != tuple(here[name].shape)]
        if wrong:
            raise UsageError(
                f"the snapshot is of another model: {sorted(wrong)[0]} ({len(wrong)} variables differ)",
                hint="build the model and its optimizer as they were, or give this one an asset of its own",
            )
        for name, variable in here.items():
            if name in saved:
                variable.assign(saved[name])
        restore_random_states(state["random"])
        self.model._initial_epoch = int(state["epoch"])


def _variables(model: Any) -> dict[str, Any]:
    """Name → a NumPy array of its own."""
    return {name: keras.ops.convert_to_numpy(variable.value) for name, variable in _own_variables(model).items()}


def _own_variables(model: Any) -> dict[str, Any]:
    """All that training changes, by kind, number and path: paths alone need not differ. Metrics appear in the first
    epoch, and begin anew with each.
    """
    kinds = {"model": model.variables, "metrics": model.metrics_variables}
    if model.optimizer is not None:
        kinds["optimizer"] = model.optimizer.variables
    found = {}
    for kind, variables in kinds.items():
        for number, variable in enumerate(variables):
            found[f"{kind}/{number:04d}/{variable.path}"] = variable
    return found
