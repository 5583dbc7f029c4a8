"""Change every single byte of every kind of small object, and many of packs; damage every object as a whole.

    python -m tests.recovery.campaigns.damage [--stride 1] [--pack-flips 500] [--seed N]

With `--stride 7` every seventh byte is changed. Each damage is judged as the tests judge it: right bytes or an error
that names the object, and `check` finds it. Prints what was tried, and every damage that `check` did not name.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

from holdfast.testing.damage import DamageDone, Flip
from holdfast.testing.workspace import own_memory

from ..judging import WHOLE_OBJECT_DAMAGES, judge, must_be_found
from ..sample_vault import Sample, build_sample

_SMALL = ("config/", "parts/", "snapshots/", "refs/", "index/")


def run(stride: int, pack_flips: int, seed: int) -> Counter[str]:
    """How many damages of each kind were tried, and how many `check` did not name. Raises AssertionError."""
    tried: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name, own_memory(Path(name) / "state"):
        for encrypted in (True, False):
            sample = build_sample(Path(name) / f"encrypted-{encrypted}", encrypted=encrypted)
            random = Random(seed)
            for kind, damage in _damages(sample, random, stride, pack_flips):
                verdict = judge(sample, damage, Path(name) / "scratch")
                tried[kind] += 1
                if not verdict.found:
                    tried[f"{kind}, not named by check"] += 1
                    assert not must_be_found(damage, sample), f"check did not find {damage}"
            print(f"encrypted: {encrypted}: {sum(tried.values())} damages so far", flush=True)
    return tried


def _damages(sample: Sample, random: Random, stride: int, pack_flips: int) -> Iterator[tuple[str, DamageDone]]:
    for prefix in _SMALL:
        key = random.choice(sample.keys(prefix))
        for offset in range(random.randrange(stride), len(sample.contents[key]), stride):
            yield f"flips in {prefix}", Flip(key, offset, 1 << random.randrange(8))
    for _ in range(pack_flips):
        key = random.choice(sample.keys("packs/"))
        yield "flips in packs/", Flip(key, random.randrange(len(sample.contents[key])), random.randrange(1, 256))
    for key in sample.contents:
        for make in WHOLE_OBJECT_DAMAGES:
            yield f"whole {key.partition('/')[0]}/", make(sample, key, random)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--pack-flips", type=int, default=500)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    given = parser.parse_args()
    print(f"seed {given.seed}")
    for kind, count in sorted(run(given.stride, given.pack_flips, given.seed).items()):
        print(f"{count:7} {kind}")


if __name__ == "__main__":
    main()
