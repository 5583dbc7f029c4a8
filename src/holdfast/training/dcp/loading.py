"""`dcp.load` with the newest snapshot that is good, and every byte read once."""

from __future__ import annotations

from typing import Any

from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load as load_through

from holdfast.errors import ConflictError, HoldfastError
from holdfast.training.dcp.choosing import UNUSABLE
from holdfast.training.dcp.reader import VaultReader
from holdfast.vault.format.records import Root

__all__ = ["load"]

_TRIES_MAX = 100  # snapshots that are passed over, one after the other


def load(state_dict: dict[str, Any], reader: VaultReader, **options: Any) -> Root:
    """Load the state through the reader, and return the snapshot that it came from; `options` are those of `dcp.load`.

    Where what a rank needs turns out to be damaged, all ranks pass that snapshot over and load the one before it: so
    nothing has to be proven beforehand, and nothing is read twice. `reader.skipped` tells. After an error the state
    holds anything. Raises what was wrong with the newest snapshot if none is good.
    """
    reader.prove = False
    conflicts = 0
    for _ in range(_TRIES_MAX):
        try:
            load_through(state_dict, storage_reader=reader, **options)
        except CheckpointException as error:
            found = _cause(error) or reader.failed
            if isinstance(found, ConflictError) and not conflicts:
                conflicts += 1  # a snapshot came while the ranks were choosing
                continue
            if found is None or not (reader.fallback and isinstance(found, UNUSABLE)) or reader.root is None:
                raise found or error from error
            reader.pass_over(found)
            continue
        assert reader.root is not None
        return reader.root
    raise reader.skipped[0].error


def _cause(error: CheckpointException) -> HoldfastError | None:
    """The same for all ranks: the error of the lowest one that has one of ours, those of damage first."""
    found = [one[0] for _, one in sorted(error.failures.items()) if isinstance(one[0], HoldfastError)]
    return next((one for one in found if isinstance(one, UNUSABLE)), found[0] if found else None)
