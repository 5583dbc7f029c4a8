"""The state machine for long: at least 20,000 steps, each a rule of some to some hundred operations on stores.

python -m tests.recovery.campaigns.soak [--steps 20000] [--seed N]
"""

from __future__ import annotations

import argparse
import time

from ..machine_rules import EVERYBODY, play
from ..planted_bugs import SOUND

_SCENES, _STEPS = 10, 50  # in one call; each scene begins anew


def run(steps: int, seed: int) -> int:
    """Print what was done; returns the number of steps. Raises BrokenInvariant, with the story and the seed."""
    done = number = turns = 0
    casts = {"full delays, older programs too": EVERYBODY, **{name: one.members for name, one in SOUND.items()}}
    began = time.monotonic()
    while done < steps:
        name = list(casts)[number % len(casts) if number % 2 else 0]
        tally = play(casts[name], scenes=_SCENES, steps=_STEPS, number=seed + number, explain=True)
        number, done, turns = number + 1, done + tally.steps, turns + tally.turns
        print(
            f"{done:>6} steps, {turns:>8} operations, {time.monotonic() - began:>5.0f} s; seed {seed + number - 1}, "
            f"{name}: {tally.looks} looks, {dict(tally.ended)}",
            flush=True,
        )
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    print(f"{run(given.steps, given.seed)} steps, nothing lost")


if __name__ == "__main__":
    main()
