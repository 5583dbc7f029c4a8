"""Speed and ratio of the chunk codecs on one core, beside memcpy and plain zstd.

The state is that of AdamW after some hundred steps on synthetic gradients whose size varies from row to row and from
weight to weight, as in real networks. Run: `python benchmarks/chunk_codecs.py [MiB of float32 weights]`.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from holdfast.vault.codecs import Encoded, decode, encode
from holdfast.vault.regions.model import OPAQUE, Element, Kind
from holdfast.vault.tensors.statistics import Accumulator

CHUNK = 4 << 20  # bytes
STEPS = 300
FLOAT32 = Element(Kind.FLOAT, 4)
BFLOAT16 = Element(Kind.FLOAT, 2)


class State(NamedTuple):
    """What AdamW keeps, after one step."""

    weights: NDArray[np.float32]
    m: NDArray[np.float32]
    v: NDArray[np.float32]

    @property
    def bfloat16(self) -> NDArray[np.uint16]:
        """The weights, cut to bfloat16."""
        return (self.weights.view(np.uint32) >> 16).astype(np.uint16)

    def arrays(self) -> dict[str, tuple[NDArray[Any], Element]]:
        """All of it, by the names of the report."""
        return {
            "fp32 weights": (self.weights, FLOAT32),
            "Adam m": (self.m, FLOAT32),
            "Adam v": (self.v, FLOAT32),
            "bf16 weights": (self.bfloat16, BFLOAT16),
        }


def train(count: int, wanted: set[int]) -> dict[int, State]:
    """The states after the `wanted` steps of AdamW (learning rate 3e-4, betas 0.9 and 0.95, decay 0.1)."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(count, np.float32) * np.float32(0.02)
    scale = np.exp(rng.standard_normal(count, np.float32) + np.repeat(rng.standard_normal(count // 1024), 1024) - 9)
    scale = scale.astype(np.float32)
    m, v = np.zeros_like(weights), np.zeros_like(weights)
    states = {}
    for step in range(1, STEPS + 1):
        gradient = rng.standard_normal(count, np.float32) * scale
        m += (gradient - m) * np.float32(0.1)
        v += (gradient * gradient - v) * np.float32(0.05)
        update = (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.95**step)) + 1e-8)
        weights = (weights * np.float32(1 - 3e-5) - np.float32(3e-4) * update).astype(np.float32)
        if step in wanted:
            states[step] = State(weights.copy(), m.copy(), v.copy())
    return states


def best_seconds(work: Callable[[], object], times: int = 5) -> float:
    """The shortest of several runs: the one that others disturbed least."""
    shortest = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        work()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def chunks(array: NDArray[Any]) -> Iterator[memoryview]:
    data = array.data.cast("B")
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]


def report(name: str, size: int, stored: int, *, encoding: float, decoding: float, note: str = "") -> None:
    """One line: a ratio, and two speeds from the seconds that `size` bytes took."""
    rates = f"{size / encoding / 1e9:8.2f} {size / decoding / 1e9:8.2f}"
    sys.stdout.write(f"{name:38} {stored / size:8.3f} {rates}  {note}\n")


def measure_codec(name: str, new: NDArray[Any], element: Element, old: NDArray[Any] | None = None) -> None:
    bases: Iterator[memoryview | None] = repeat(None) if old is None else chunks(old)
    pairs = list(zip(chunks(new), bases, strict=False))
    encoded: list[Encoded] = [encode(data, element, base) for data, base in pairs]

    def decode_all() -> None:
        for (data, base), chunk in zip(pairs, encoded, strict=True):
            decode(chunk.codec, element, chunk.payload, len(data), base)

    encoding = best_seconds(lambda: [encode(data, element, base) for data, base in pairs])
    taken = Counter(chunk.codec.name.lower() for chunk in encoded)
    note = ", ".join(f"{count} × {codec}" for codec, count in taken.items())
    stored = sum(len(chunk.payload) for chunk in encoded)
    report(name, new.nbytes, stored, encoding=encoding, decoding=best_seconds(decode_all), note=note)


def measure_zstd(name: str, array: NDArray[Any]) -> None:
    compressor, decompressor = zstandard.ZstdCompressor(level=1), zstandard.ZstdDecompressor()
    frames = [compressor.compress(chunk) for chunk in chunks(array)]
    encoding = best_seconds(lambda: [compressor.compress(chunk) for chunk in chunks(array)])
    decoding = best_seconds(lambda: [decompressor.decompress(frame) for frame in frames])
    report(f"{name}, zstd -1", array.nbytes, sum(map(len, frames)), encoding=encoding, decoding=decoding)


def measure_statistics(dtype: str, array: NDArray[Any]) -> None:
    def gather() -> None:
        accumulator = Accumulator()
        for chunk in chunks(array):
            accumulator.add(dtype, chunk)
        accumulator.result()

    sys.stdout.write(f"statistics of {dtype:24} {array.nbytes / best_seconds(gather) / 1e9:17.2f}\n")


def main() -> None:
    mebibytes = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    states = train(mebibytes << 18, {STEPS, STEPS - 1, STEPS - 10, STEPS - 100})
    now = states[STEPS]
    sys.stdout.write(f"{'chunks of 4 MiB':38} {'stored':>8} {'encode':>8} {'decode':>8}  (GB/s)\n")
    target = np.empty_like(now.weights)
    copying = best_seconds(lambda: np.copyto(target, now.weights))
    report("memcpy", target.nbytes, target.nbytes, encoding=copying, decoding=copying)
    for name, (array, element) in now.arrays().items():
        measure_zstd(name, array)
        measure_codec(name, array, element)
        for back in (1, 10, 100):
            base, _ = states[STEPS - back].arrays()[name]
            measure_codec(f"{name}, base {back} steps earlier", array, element, base)
    noise = np.random.default_rng(1).integers(0, 256, mebibytes << 20, np.uint8)
    measure_codec("noise, opaque", noise, OPAQUE)
    measure_codec("zeros, float32", np.zeros(mebibytes << 18, np.float32), FLOAT32)
    measure_statistics("f32", now.weights)
    measure_statistics("bf16", now.bfloat16)
    measure_statistics("f16", now.weights.astype(np.float16))
    measure_statistics("f8_e4m3", now.bfloat16.view(np.uint8))


if __name__ == "__main__":
    main()
