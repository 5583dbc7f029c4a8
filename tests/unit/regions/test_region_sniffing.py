from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import zstandard
from region_files import layout_of, weights, zip_file

import holdfast
from holdfast.vault.regions.model import OPAQUE, Element, Kind, Region
from holdfast.vault.regions.sniff import SNIFF_BYTES_MIN, sniff_span
from holdfast.vault.regions.source import BytesSource

COUNT = 1 << 19
RANDOM = np.random.default_rng(11)


def moments(count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Like Adam's second moment: positive, over many decades."""
    return np.exp(RANDOM.standard_normal(count) * 4 - 20).astype(np.float32)


@pytest.mark.parametrize(
    ("array", "element"),
    [
        (weights(COUNT), Element(Kind.FLOAT, 4)),
        (weights(COUNT).astype(np.float64) * np.pi, Element(Kind.FLOAT, 8)),
        (weights(COUNT * 2).astype(np.float16), Element(Kind.FLOAT, 2)),
        (weights(COUNT * 2).astype(ml_dtypes.bfloat16), Element(Kind.FLOAT, 2)),
        (weights(COUNT).astype(ml_dtypes.bfloat16).astype(np.float32), Element(Kind.FLOAT, 4)),
        (moments(COUNT), Element(Kind.FLOAT, 4)),
        (RANDOM.integers(0, 50_000, COUNT).astype(np.int32), Element(Kind.INT, 4)),
        (RANDOM.integers(0, 50_000, COUNT).astype(np.int64), Element(Kind.INT, 8)),
    ],
    ids=["f32", "f64", "f16", "bf16", "f32 of bf16", "moments", "i32", "i64"],
)
def test_numbers_are_found_at_any_phase(array: Any, element: Element) -> None:
    for header in (b"", b"abc", os.urandom(4101)):
        data = header + array.tobytes()
        layout = layout_of(data, "dump.raw")
        assert (layout.format, layout.tensors, layout.problems) == ("floats", [], [])
        (region,) = [region for region in layout.regions if region.element != OPAQUE]
        assert region.element == element
        assert (region.offset - len(header)) % element.width == 0
        assert region.length > len(data) - 2 * element.width


def library_code() -> bytes:
    """The interpreter, or the library that holds it: machine code and its tables."""
    candidates = [Path(sys.executable).resolve(), *Path(np.__file__).parent.rglob("*.so")]
    return max((path.read_bytes() for path in candidates), key=len)


def source_code() -> bytes:
    paths = sorted([*Path(holdfast.__file__).parent.rglob("*.py"), *Path(np.__file__).parent.rglob("*.py")])
    return b"".join(path.read_bytes() for path in paths)[: 4 << 20]


def log_lines() -> bytes:
    values = RANDOM.random(30_000)
    return b"".join(
        b"2026-01-%02d %02d:%02d:%02d INFO step=%06d loss=%.6f gpu=%d\n"
        % (i % 28, i % 24, i % 60, i % 60, i, value, i % 8)
        for i, value in enumerate(values)
    )


def fixed_lines() -> bytes:
    """Records of 32 characters each: text with a strict period."""
    return b"".join(b"%08d %08d %012d \n" % (i, i * 7919 % 10**8, i * i) for i in range(40_000))


def archive() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        tar.add(Path(np.__file__).parent / "lib", arcname="lib")
    return target.getvalue()


@pytest.mark.parametrize(
    "make",
    [
        source_code,
        log_lines,
        fixed_lines,
        library_code,
        archive,
        lambda: gzip.compress(source_code() + os.urandom(1 << 20)),
        lambda: zstandard.compress(source_code()) + zlib.compress(os.urandom(1 << 20)),
        lambda: zip_file({"a": os.urandom(1 << 20), "b": source_code()}),
        lambda: os.urandom(1 << 21),
        lambda: bytes(1 << 21),
        lambda: os.urandom(1 << 20).hex().encode(),
        lambda: b",".join(b"%.6f" % value for value in weights(200_000)),
        lambda: RANDOM.integers(0, 50_000, COUNT * 2).astype(np.uint16).tobytes(),
        lambda: weights(1 << 21).astype(ml_dtypes.float8_e4m3fn).tobytes(),
    ],
    ids=[
        "source",
        "log",
        "fixed",
        "code",
        "tar",
        "gzip",
        "zstd",
        "zip",
        "random",
        "zeros",
        "hex",
        "csv",
        "tokens",
        "fp8",
    ],
)
def test_what_is_not_plainly_numbers_is_opaque(make: Callable[[], bytes]) -> None:
    data = make()
    assert len(data) >= SNIFF_BYTES_MIN
    assert sniff_span(BytesSource(data), 0, len(data)) == []
    layout = layout_of(data, "unknown")
    assert (layout.format, layout.regions) == ("opaque", [Region(0, len(data), OPAQUE)])


def test_small_files_are_not_sniffed() -> None:
    data = weights(SNIFF_BYTES_MIN // 4).tobytes()
    assert layout_of(data).format == "floats"
    assert layout_of(data[:-4]).format == "opaque"


def test_files_that_are_half_numbers_are_opaque() -> None:
    assert layout_of(weights(COUNT).tobytes() + source_code()[: COUNT * 4]).format == "opaque"


def test_holes_do_not_vote() -> None:
    data = weights(COUNT // 2).tobytes() + bytes(COUNT * 6)
    assert layout_of(data).format == "floats"


def test_columnar_files_are_opaque_by_their_magic() -> None:
    for magic in (b"ARROW1\0\0", b"PAR1", b"FEA1"):
        data = magic + weights(COUNT).tobytes() + magic
        assert layout_of(data, "table").format == "opaque"
