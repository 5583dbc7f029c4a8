"""The arithmetic of DELTA: elements to zigzagged differences and back, modulo 2^(8 × width).

Floats are first mapped to integers that keep their order: the bits below the sign of negative ones are flipped. Two
floats that are close then differ by a small integer, even across an exponent; across zero too. Zigzag folds the sign
of the difference into its lowest bit, so that small differences of either sign have zeros in all high bytes. On AdamW
checkpoints this beats XOR everywhere (bf16 weights 10 steps apart: 0.38 against 0.43).

Every function works on whole arrays of one unsigned type and writes to `out`, which may not overlap its inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.vault.scratch import Unsigned

__all__ = ["difference_into", "apply_difference"]


def difference_into(new: Unsigned, base: Unsigned, out: Unsigned, work: Unsigned, *, floats: bool) -> None:
    """`out` = zigzag(`new` − `base`); `work` is overwritten."""
    if floats:
        _flip_into(new, out)
        _flip_into(base, work)
        np.subtract(out, work, out=out)
    else:
        np.subtract(new, base, out=out)
    np.right_shift(_signed(out), _sign_bit(out), out=_signed(work))
    np.left_shift(out, 1, out=out)
    np.bitwise_xor(out, work, out=out)


def apply_difference(zigzag: Unsigned, base: Unsigned, out: Unsigned, work: Unsigned, *, floats: bool) -> None:
    """`out` = the elements that differ from `base` by `zigzag`; `zigzag` and `work` are overwritten."""
    np.bitwise_and(zigzag, 1, out=work)
    np.negative(_signed(work), out=_signed(work))
    np.right_shift(zigzag, 1, out=zigzag)
    np.bitwise_xor(zigzag, work, out=zigzag)
    if not floats:
        np.add(zigzag, base, out=out)
        return
    _flip_into(base, work)
    np.add(zigzag, work, out=zigzag)
    _flip_into(zigzag, out)


def _flip_into(bits: Unsigned, out: Unsigned) -> None:
    """Flip all bits but the sign where the sign is set. Its own inverse."""
    np.right_shift(_signed(bits), _sign_bit(bits), out=_signed(out))  # all ones where negative
    np.right_shift(out, 1, out=out)
    np.bitwise_xor(out, bits, out=out)


def _signed(bits: Unsigned) -> NDArray[np.signedinteger[Any]]:
    """The same memory read as two's complement; its right shift copies the sign."""
    return bits.view(f"<i{bits.itemsize}")


def _sign_bit(bits: Unsigned) -> int:
    return 8 * bits.itemsize - 1
