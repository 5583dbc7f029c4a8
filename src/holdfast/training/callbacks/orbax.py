"""Orbax for JAX: a handler whose items lie in the vault; in the step's folder there is a short pointer.

    handler = HoldfastHandler("VAULT", asset="net")
    manager = ocp.CheckpointManager(directory, item_handlers=handler)
    manager.save(step, args=HoldfastSave(state))
    state = manager.restore(step, args=HoldfastRestore(state))       # or, when the directory is lost:
    found = handler.newest(state)                                    # (step, state), or None

Leaves are saved by their paths in the tree (`jax.tree_util.keystr`), arrays through NumPy; classes of the program are
never in a snapshot, so restoring wants a tree of the same structure, whose leaves also say where the arrays shall lie
(`sharding`). Arrays of which this process sees a part only are refused: several processes save with Orbax's own
handlers, and `holdfast watch` protects what they write.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from holdfast.checkpoints.steps import step_in_name
from holdfast.errors import DamageError, FailedError, NotFoundError, UsageError
from holdfast.training.callbacks.extras import missing_extra
from holdfast.training.callbacks.pointers import Pointer, new_save, read_pointer, write_pointer
from holdfast.training.callbacks.shipping import Shipper, Where

try:
    import jax
    import orbax.checkpoint as ocp
except ImportError as error:
    raise missing_extra("jax", "orbax.checkpoint", error) from error

__all__ = ["HoldfastHandler", "HoldfastSave", "HoldfastRestore"]

_POINTER = "holdfast.json"
_END_WAIT_SECONDS = 600.0


class HoldfastHandler(ocp.CheckpointHandler):  # type: ignore[misc]
    """`save` returns when the state is copied; it is durable later: see `stats`, and `wait`.

    Never stops training. `end_wait_seconds`: how long `close` waits for what is on its way. Further arguments are those
    of `holdfast.training.Saver`.
    """

    def __init__(self, vault: Where, *, asset: str, end_wait_seconds: float = _END_WAIT_SECONDS, **saver: Any) -> None:
        self._shipper = Shipper(vault, asset, **saver)
        self._end_wait_seconds = end_wait_seconds

    def stats(self) -> dict[str, Any]:
        """What was saved, what failed and why: see `Shipper.stats`."""
        return self._shipper.stats()

    def wait(self, seconds: float = _END_WAIT_SECONDS) -> bool:
        """Wait until all is durable, or the time is over; whether all is."""
        return self._shipper.settle(seconds)

    def newest(self, like: Any) -> tuple[int, Any] | None:
        """Step and state of the newest snapshot that reads back whole; None when the vault has none of the asset.

        `like`: a tree of the same structure (arrays or `jax.ShapeDtypeStruct`). What is damaged is passed over, with a
        warning. Raises what reading raises, and UsageError for another structure.
        """
        if not self._shipper.has_candidates():
            return None
        saved = self._shipper.newest_state()
        return int(_leaves(saved)["step"]), _like(saved, like)

    def save(self, directory: Any, args: HoldfastSave) -> None:
        """Hand the item over and write the pointer. For Orbax; use `CheckpointManager.save`."""
        place = Path(directory)
        with self._shipper.troubles.caught("handing the state over"):
            step = args.step if args.step is not None else _step_of(place)
            save = new_save()
            state = {"step": step, "leaves": {name: _plain(name, leaf) for name, leaf in _named(args.item)}}
            if jax.process_index() == 0:
                write_pointer(place / _POINTER, Pointer(self._shipper.asset, step, save))
                metadata = {"framework": "orbax", "save": save}
                self._shipper.send_state(state, step=step, metrics=dict(args.metrics or {}), metadata=metadata)

    def restore(self, directory: Any, args: HoldfastRestore | None = None) -> Any:
        """The item that the pointer in the folder means. Raises NotFoundError, DamageError, UsageError."""
        place = Path(directory) / _POINTER
        if args is None:
            raise UsageError("restoring needs a tree of the same structure", hint="args=HoldfastRestore(state)")
        pointer = read_pointer(place)
        if pointer is None:
            raise NotFoundError(f"{place} is no pointer to a snapshot", object_name=str(place))
        self._shipper.settle(self._end_wait_seconds)
        return _like(self._shipper.state_of_save(pointer.save, place), args.item)

    def close(self) -> None:
        with self._shipper.troubles.caught("ending"):
            self._shipper.settle(self._end_wait_seconds)


@ocp.args.register_with_handler(HoldfastHandler, for_save=True)
@dataclasses.dataclass
class HoldfastSave(ocp.args.CheckpointArgs):  # type: ignore[misc]
    """`item`: a PyTree. `step`: by default the number in the folder's name. `metrics`: kept with the snapshot."""

    item: Any
    step: int | None = None
    metrics: dict[str, float] | None = None


@ocp.args.register_with_handler(HoldfastHandler, for_restore=True)
@dataclasses.dataclass
class HoldfastRestore(ocp.args.CheckpointArgs):  # type: ignore[misc]
    """`item`: a PyTree of the structure that was saved: arrays or `jax.ShapeDtypeStruct`."""

    item: Any


def _step_of(directory: Path) -> int:
    """`…/500.orbax-checkpoint-tmp/default` → 500."""
    for folder in (directory, *directory.parents):
        step = step_in_name(folder.name.partition(".orbax")[0])
        if step is not None:
            return step
    raise UsageError(f"{directory} names no step", hint="HoldfastSave(state, step=…)")


def _named(tree: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(name: str, leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array):
        return leaf
    if not leaf.is_fully_addressable:
        raise UsageError(
            f"of the array {name} this process sees {len(leaf.addressable_shards)} shards, and not all",
            hint="save with Orbax's own handlers, and let `holdfast watch` protect the folder",
        )
    return jax.device_get(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _leaves(saved: Any) -> dict[str, Any]:
    if not isinstance(saved, dict) or not isinstance(saved.get("leaves"), dict) or "step" not in saved:
        raise DamageError("the snapshot is no item of this handler", hint="give its states an asset of their own")
    return saved


def _like(saved: Any, like: Any) -> Any:
    """The tree `like` with the saved leaves, each where the leaf of `like` lies."""
    leaves = _leaves(saved)["leaves"]
    wanted = _named(like)
    differing = sorted(leaves.keys() ^ {name for name, _ in wanted})
    if differing:
        raise UsageError(f"the snapshot is of another tree: {differing[0]} ({len(differing)} leaves differ)")
    return jax.tree_util.tree_structure(like).unflatten([_placed(name, leaves[name], leaf) for name, leaf in wanted])


def _placed(name: str, saved: Any, like: Any) -> Any:
    if not hasattr(like, "dtype") or not hasattr(saved, "shape"):
        return saved
    if _is_key(like):
        return jax.random.wrap_key_data(saved, impl=jax.random.key_impl(like))
    if tuple(saved.shape) != tuple(like.shape) or str(saved.dtype) != str(like.dtype):
        raise UsageError(
            f"{name} is {saved.dtype}{list(saved.shape)} in the snapshot and {like.dtype}{list(like.shape)} here"
        )
    sharding = getattr(like, "sharding", None)
    if not isinstance(like, jax.Array) and sharding is None:
        return saved
    try:
        return jax.device_put(saved, sharding)
    except (ValueError, RuntimeError) as error:
        raise FailedError(f"{name} could not be put where it shall lie: {error}") from error
