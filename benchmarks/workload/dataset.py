"""A tree as data sets are: many small texts and images, some large shards; and the same after a change of 2 %."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path

import numpy as np

from .plan import Plan
from .text import source_code

__all__ = ["write_dataset"]

_FOLDERS = 50


def write_dataset(folder: Path, plan: Plan) -> None:
    """Write `dataset/first` and `dataset/next`."""
    random = np.random.default_rng(3)
    first, following = folder / "dataset/first", folder / "dataset/next"
    text = source_code()
    for number in range(plan.dataset_files):
        _write_small(first, number, text, random)
    for number in range(plan.dataset_shards):
        path = first / f"shards/part-{number:03}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_shard(plan.shard_bytes, random))
    shutil.copytree(first, following)
    _change(following, plan, text, random)


def _write_small(root: Path, number: int, text: bytes, random: np.random.Generator) -> None:
    """Every second file a piece of text; the others noise, as compressed images are to everybody else."""
    stem = root / f"{'text' if number % 2 else 'images'}/{number % _FOLDERS:02}/{number:06}"
    path = stem.with_suffix(".txt" if number % 2 else ".jpg")
    path.parent.mkdir(parents=True, exist_ok=True)
    size = int(random.lognormal(8.5 if number % 2 else 10.0, 0.8))  # medians 5 kB and 22 kB
    if number % 2:
        begin = int(random.integers(0, len(text) - 1))
        path.write_bytes(text[begin : begin + size])
    else:
        path.write_bytes(b"\xff\xd8\xff\xe0" + random.bytes(size))


def _shard(size: int, random: np.random.Generator) -> bytes:
    """Column pages as a columnar file has them: ids that rise, small numbers, and pages deflated one by one."""
    parts: list[bytes] = []
    filled = 0
    while filled < size:
        rows = 16384
        ids = np.cumsum(random.integers(1, 5, rows)).astype("<i8").tobytes()
        scores = random.standard_normal(rows).astype("<f4").tobytes()
        words = zlib.compress(random.zipf(1.3, rows).astype("<u2", casting="unsafe").tobytes(), 1)
        parts += [ids, scores, words]
        filled += len(ids) + len(scores) + len(words)
    return b"".join(parts)[:size]


def _change(root: Path, plan: Plan, text: bytes, random: np.random.Generator) -> None:
    """1 % of the small files rewritten, 0.5 % renamed, 0.5 % new; one shard appended to, one changed in its middle."""
    small = sorted(path for path in root.rglob("*") if path.is_file() and path.parent.name != "shards")
    share = max(len(small) // 200, 1)
    chosen = random.permutation(len(small))
    for index in chosen[: 2 * share]:
        content = bytearray(small[index].read_bytes())
        middle = len(content) // 2
        content[middle:middle] = random.bytes(64)
        small[index].write_bytes(content)
    for index in chosen[2 * share : 3 * share]:
        small[index].rename(small[index].with_stem(small[index].stem + "-renamed"))
    for number in range(share):
        _write_small(root, plan.dataset_files + number, text, random)
    shards = sorted((root / "shards").iterdir())
    with shards[0].open("ab") as file:
        file.write(_shard(plan.shard_bytes // 50, random))
    changed = bytearray(shards[-1].read_bytes())
    middle, length = len(changed) // 2, len(changed) // 50
    changed[middle : middle + length] = random.bytes(length)
    shards[-1].write_bytes(changed)
