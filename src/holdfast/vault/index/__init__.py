"""Which pack holds which chunk. A cache of the packs' footers: what it lacks is read from there."""

from holdfast.vault.index.chunks import ChunkIndex, Located, NoIndexError
from holdfast.vault.index.objects import SignedIndex, pack_of_key, read_index, read_pack_table, write_index

__all__ = [
    "Located",
    "ChunkIndex",
    "NoIndexError",
    "SignedIndex",
    "write_index",
    "read_index",
    "read_pack_table",
    "pack_of_key",
]
