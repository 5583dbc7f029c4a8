"""How long to wait before another start, so that a hundred jobs that died together do not come back together."""

from __future__ import annotations

from random import Random

__all__ = ["delay_before", "FIRST_SECONDS", "MOST_SECONDS"]

FIRST_SECONDS = 1.0
MOST_SECONDS = 120.0


def delay_before(stuck: int, random: Random) -> float:
    """Seconds before another start when so many in a row made no progress (0: the last one did): between half and all
    of 1, 2, 4, … seconds, at most 120.

    "Equal jitter" of M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog 2015: never nothing, since a GPU
    needs a moment to free its memory.
    """
    whole = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(stuck, 16))
    return whole * (0.5 + random.random() / 2)
