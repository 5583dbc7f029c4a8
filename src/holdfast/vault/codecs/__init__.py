"""Codecs: how the bytes of one chunk are made smaller without losing a bit. Specified in `docs/format/codecs.md`.

`encode` looks at a sample and takes the cheapest of four codecs; `decode` undoes any of them and trusts nothing that it
is given. Both may be called from many threads at once; their native parts release the GIL.
"""

from __future__ import annotations

from holdfast.vault.codecs.decoding import decode
from holdfast.vault.codecs.encoding import encode
from holdfast.vault.codecs.model import MAX_RAW_LENGTH, Codec, Encoded

__all__ = ["Codec", "Encoded", "MAX_RAW_LENGTH", "encode", "decode"]
