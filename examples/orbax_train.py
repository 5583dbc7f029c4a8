"""A JAX training with Orbax's CheckpointManager, protected by one handler: kill it at any time and start it again.

    python examples/orbax_train.py --vault VAULT --output OUT [--steps 24] [--kill-at 14] [--result RESULT]

The vault is an existing one (`holdfast vault create VAULT`). In OUT there are only pointers, so nothing is lost with
it. With --kill-at the process kills itself (SIGKILL) at the end of that step, once a state is in the vault. RESULT
gets the final weights and the loss of every step, which are the same bytes however often the training was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from holdfast.training.callbacks.orbax import HoldfastHandler, HoldfastRestore, HoldfastSave


def fresh() -> dict[str, Any]:
    """Weights, first and second moments of Adam, the key of all random numbers, and the losses so far."""
    first, second, key = jax.random.split(jax.random.key(7), 3)
    weights = {"in": jax.random.normal(first, (16, 32)) / 4, "out": jax.random.normal(second, (32, 1)) / 6}
    moments = jax.tree.map(jnp.zeros_like, weights)
    return {"weights": weights, "m": moments, "v": jax.tree.map(jnp.zeros_like, weights), "key": key}


@jax.jit
def update(state: dict[str, Any], number: jax.Array, features: jax.Array) -> tuple[dict[str, Any], jax.Array]:
    """One step of Adam (Kingma and Ba, 2015), with dropout."""
    key, dropping = jax.random.split(state["key"])

    def loss_of(weights: dict[str, jax.Array]) -> jax.Array:
        hidden = jax.nn.relu(features @ weights["in"])
        hidden = jnp.where(jax.random.bernoulli(dropping, 0.8, hidden.shape), hidden / 0.8, 0)
        return jnp.mean((hidden @ weights["out"] - jnp.sin(features).sum(1, keepdims=True)) ** 2)

    loss, slope = jax.value_and_grad(loss_of)(state["weights"])
    m = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, state["m"], slope)
    v = jax.tree.map(lambda old, new: 0.999 * old + 0.001 * new**2, state["v"], slope)
    weights = jax.tree.map(
        lambda w, one, two: w - 1e-2 * (one / (1 - 0.9**number)) / (jnp.sqrt(two / (1 - 0.999**number)) + 1e-8),
        state["weights"],
        m,
        v,
    )
    return {"weights": weights, "m": m, "v": v, "key": key}, loss


def main(arguments: list[str] | None = None) -> HoldfastHandler:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--vault", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--asset", default="net")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--save-every", type=int, default=5)
    parser.add_argument("--kill-at", type=int, default=0, metavar="STEP")
    parser.add_argument("--result", type=Path)
    options = parser.parse_args(arguments)

    state: dict[str, Any] = {"training": fresh(), "losses": np.zeros(options.steps, np.float32)}
    handler = HoldfastHandler(options.vault, asset=options.asset)  # 1
    found = handler.newest(state)  # 2
    step, state = found if found is not None else (0, state)
    data = jax.random.normal(jax.random.key(1), (64, 16))

    with ocp.CheckpointManager(
        options.output.absolute(), item_handlers=handler, options=ocp.CheckpointManagerOptions(max_to_keep=2)
    ) as manager:
        while step < options.steps:
            rows = jax.random.choice(jax.random.key(step), 64, (8,), replace=False)
            training, loss = update(state["training"], jnp.float32(step + 1), data[rows])
            losses = state["losses"].copy()
            losses[step] = loss
            state, step = {"training": training, "losses": losses}, step + 1
            if step % options.save_every == 0:
                manager.save(step, args=HoldfastSave(state))
            if step == options.kill_at:
                while handler.stats()["last_durable_step"] is None:
                    time.sleep(0.05)
                os.kill(os.getpid(), signal.SIGKILL)
        manager.wait_until_finished()
        newest = manager.latest_step()
        if newest is not None:  # what the manager restores by its pointer is what was saved
            again = manager.restore(newest, args=HoldfastRestore(state))
            assert np.count_nonzero(again["losses"]) == newest

    if options.result is not None:
        options.result.mkdir(parents=True, exist_ok=True)
        np.savez(options.result / "weights.npz", **jax.device_get(state["training"]["weights"]))
        (options.result / "losses.json").write_text(json.dumps([float(loss) for loss in state["losses"]]))
    print(json.dumps(handler.stats()))
    return handler


if __name__ == "__main__":
    main()
