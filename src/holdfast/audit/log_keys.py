"""The keys of a log over time: which of them may have signed a checkpoint, by its size and by its place in the series.

A log has one name for ever, and one pair of keys at a time. When a new pair takes over, a checkpoint of some size and
root, at some generation, is the last one of the old pair: whatever the old pair signs that is larger, or comes later,
does not count, whoever has it by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.verifier_keys import VerifierKey
from holdfast.errors import UntrustedError

__all__ = ["Change", "Era", "LogKeys", "current_keys", "keys_of_batch", "keys_of_checkpoint"]


class Change(NamedTuple):
    """The last checkpoint of the keys before. `handed_over`: they themselves named the new ones in the last entry of
    it; else a keeper has changed them alone, as the old ones were lost. `size` may be 0 then.
    """

    generation: int
    size: int
    root: bytes
    handed_over: bool = True


class Era(NamedTuple):
    """`since`: None for a log's first keys."""

    keys: tuple[VerifierKey, ...]
    since: Change | None


class LogKeys(tuple[VerifierKey, ...]):
    """All keys that a log ever had, the newest last, and when each of them counts."""

    eras: tuple[Era, ...]

    def __new__(cls, eras: Sequence[Era]) -> LogKeys:
        """The oldest first; at least one."""
        made = super().__new__(cls, dict.fromkeys(key for era in eras for key in era.keys))
        made.eras = tuple(eras)
        return made

    @property
    def current(self) -> tuple[VerifierKey, ...]:
        """Those that may sign now."""
        return self.eras[-1].keys

    def of_generation(self, generation: int) -> Era:
        """Those that may sign what is written under that generation."""
        for era in reversed(self.eras):
            if era.since is None or generation > era.since.generation:
                return era
        return self.eras[0]

    def of_checkpoint(self, checkpoint: Checkpoint, generation: int | None, name: str) -> tuple[VerifierKey, ...]:
        """Those that must have signed it. `generation`: None where it was not read from the series.

        Raises UntrustedError where it cannot be of this log, whoever signed it.
        """
        for era in self.eras[1:]:
            since = era.since
            if since is None:
                continue
            after = checkpoint.size > since.size if generation is None else generation > since.generation
            fits = checkpoint.size >= since.size if after else checkpoint.size <= since.size
            if not fits or (checkpoint.size == since.size and checkpoint.root != since.root):
                raise UntrustedError(
                    f"{name} is not of this log, whose keys changed at {since.size} entries",
                    hint="somebody has a key that is not used any more: `holdfast audit verify` tells what is there",
                    object_name=name,
                )
        if generation is not None:
            return self.of_generation(generation).keys
        fitting = [era for era in self.eras if era.since is None or checkpoint.size > era.since.size]
        return fitting[-1].keys if fitting else self.eras[0].keys


def keys_of_checkpoint(
    keys: Sequence[VerifierKey], checkpoint: Checkpoint, generation: int | None, name: str
) -> Sequence[VerifierKey]:
    """`LogKeys.of_checkpoint`; keys that are known without their time count always."""
    return keys.of_checkpoint(checkpoint, generation, name) if isinstance(keys, LogKeys) else keys


def keys_of_batch(keys: Sequence[VerifierKey], generation: int) -> Sequence[VerifierKey]:
    """The same for what is written before the checkpoint of that generation."""
    return keys.of_generation(generation).keys if isinstance(keys, LogKeys) else keys


def current_keys(keys: Sequence[VerifierKey]) -> Sequence[VerifierKey]:
    """Those that may sign now."""
    return keys.current if isinstance(keys, LogKeys) else keys
