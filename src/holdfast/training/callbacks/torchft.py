"""torchft: what its replicas give each other in memory also goes to the vault, for the day when all of them are gone.

    holdfast = attach(manager, "VAULT", asset="llm", every=100)
    holdfast.resume()                                        # before the first step, on every replica group

The hooks as they are in torchft 0.2: the functions of `Manager.register_state_dict_fn` (or of its constructor) say
what the state is. `start_quorum` begins a step, and is wrapped: then the step before is committed and the optimizer
has made its step. Of the replicas that took part in it the first saves: another is the first when it dies, so no
replica is needed for saving.
"""

from __future__ import annotations

from typing import Any

from holdfast.errors import UsageError
from holdfast.training.callbacks.shipping import Shipper, Where

__all__ = ["attach", "Attached"]

_END_WAIT_SECONDS = 600.0


class Attached:
    """What `attach` gives back."""

    def __init__(self, manager: Any, shipper: Shipper, every: int) -> None:
        self._manager = manager
        self._shipper = shipper
        self._every = every
        self._saved_step = 0
        self._start_quorum = manager.start_quorum
        self._shutdown = manager.shutdown

    def resume(self) -> int | None:
        """Load the newest good snapshot into the manager and everything registered with it. Its step, or None.

        What is damaged is passed over, with a warning; raises what reading raises. Where replicas load different steps,
        torchft brings the older ones up to the newest at the first quorum, as it does with a replica that joins.
        """
        if not self._shipper.has_candidates():
            return None
        state = self._shipper.newest_state()
        if not isinstance(state, dict) or not isinstance(state.get("user"), dict) or "torchft" not in state:
            raise UsageError("the snapshot is none of this hook", hint="give its states an asset of their own")
        loaders = self._manager._load_state_dict_fns
        differing = sorted(loaders.keys() ^ state["user"].keys())
        if differing:
            raise UsageError(f"{differing[0]!r} is registered with the manager and not in the snapshot, or the reverse")
        for name, load in loaders.items():
            load(state["user"][name])
        self._manager.load_state_dict(state["torchft"])
        self._saved_step = int(self._manager.current_step())
        return self._saved_step

    def stats(self) -> dict[str, Any]:
        """What was saved, what failed and why: see `Shipper.stats`."""
        return self._shipper.stats()

    def save_now(self) -> None:
        """Save the state as it is, between two steps, whichever step it is: before the end of training."""
        with self._shipper.troubles.caught("handing the state over"):
            self._save(int(self._manager.current_step()))

    def wait(self, seconds: float = _END_WAIT_SECONDS) -> bool:
        """Wait until all is durable, or the time is over; whether all is."""
        return self._shipper.settle(seconds)

    def _starting(self, *arguments: Any, **options: Any) -> Any:
        with self._shipper.troubles.caught("handing the state over"):
            step = int(self._manager.current_step())
            if step >= self._saved_step + self._every and self._is_first():
                self._save(step)
            if step >= self._saved_step + self._every:
                self._saved_step = step - step % self._every
        return self._start_quorum(*arguments, **options)

    def _is_first(self) -> bool:
        """Before the first quorum nobody takes part."""
        try:
            return bool(self._manager.participating_rank() == 0)
        except AssertionError:
            return False

    def _save(self, step: int) -> None:
        # The same that a recovering replica gets, read while no other thread changes it.
        state = self._manager._manager_state_dict()
        self._shipper.send_state(state, step=step, metrics={}, metadata={"framework": "torchft"})

    def _shutting_down(self, *arguments: Any, **options: Any) -> Any:
        with self._shipper.troubles.caught("ending"):
            self._shipper.settle(_END_WAIT_SECONDS)
        return self._shutdown(*arguments, **options)


def attach(manager: Any, vault: Where, *, asset: str, every: int, **saver: Any) -> Attached:
    """From now on, every so many committed steps are also saved to the vault, as `asset`, by one replica.

    For replica groups of one rank (a replica group that shards its state saves with `holdfast.training.dcp`). Saving
    never stops training: see `stats` of what is returned. `manager.shutdown()` waits for what is on its way. Further
    arguments are those of `holdfast.training.Saver`. Raises UsageError.
    """
    if every < 1:
        raise UsageError(f"saving every {every} steps makes no sense")
    if not hasattr(manager, "_manager_state_dict") or not hasattr(manager, "_load_state_dict_fns"):
        raise UsageError("this is no manager of torchft 0.2", hint='pip install "holdfast[torchft]"')
    if getattr(manager, "_group_world_size", 1) > 1:
        raise UsageError(
            "a replica group of several ranks has its state in parts", hint="save them with holdfast.training.dcp"
        )
    attached = Attached(manager, Shipper(vault, asset, **saver), every)
    manager.start_quorum = attached._starting
    manager.shutdown = attached._shutting_down
    return attached
