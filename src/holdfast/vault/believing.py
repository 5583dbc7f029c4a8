"""Whose word on what a pack holds is taken before something relies on it.

Whoever can read decodes what it gets, and needs to believe nobody. A writer cannot open packs: on the word of another
writer it would leave out chunks that are not there, or read back the wrong pack.
"""

from __future__ import annotations

from holdfast.ids import ChunkId
from holdfast.trust.signing import fingerprint
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.index import ChunkIndex, Located

__all__ = ["Believing"]

_STEPS_MAX = 8  # from delta to base, as readers follow them
_OF_THIS_PROCESS = ""  # in the index of one who cannot read footers


class Believing:
    """A writer believes itself and the keepers; everybody else believes all. Safe for several threads."""

    def __init__(self, keys: VaultKeys) -> None:
        self._signers = None if keys.can_read else _believed_by_writer(keys)

    def places(self, index: ChunkIndex, chunk: ChunkId, steps: int = _STEPS_MAX) -> list[Located]:
        """Where the chunk lies, as far as that is believed, and the bases that it needs there, too.

        A keeper builds on what it reads, whoever wrote it: its word is of the delta alone. What this process wrote is
        first: where a chunk was stored again, as the other pack is condemned, it is the new one that is read back.
        """
        places = index.places(chunk)
        if self._signers is None:
            return places
        believed = (located for located in places if index.signer_of(located.pack) in self._signers)
        grounded = [
            located
            for located in believed
            if not located.place.base or (steps > 0 and self.places(index, located.place.base, steps - 1))
        ]
        return sorted(grounded, key=lambda located: index.signer_of(located.pack) != _OF_THIS_PROCESS)


def _believed_by_writer(keys: VaultKeys) -> set[str]:
    """Fingerprints: its own and the keepers'."""
    keepers = {fingerprint(one.public) for one in keys.config.signers if one.role == "keeper" and one.revoked is None}
    own = {fingerprint(keys.signer.public)} if keys.signer is not None else set()
    return keepers | own | {_OF_THIS_PROCESS}
