"""Codecs: how the bytes of one chunk are made smaller without losing a bit. Specified in `docs/format/codecs.md`.

`encode` looks at a sample and takes the cheapest of four codecs; `decode` undoes any of them and trusts nothing that it
is given. All may be called from many threads at once; their native parts release the GIL.
"""

from __future__ import annotations

from holdfast.vault.codecs.decoding import decode, decode_into
from holdfast.vault.codecs.encoding import encode, encode_in_place
from holdfast.vault.codecs.model import MAX_RAW_LENGTH, Codec, Encoded

__all__ = ["Codec", "Encoded", "MAX_RAW_LENGTH", "encode", "encode_in_place", "decode", "decode_into"]
