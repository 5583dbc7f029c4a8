"""The layout of a file: which format it is, its tensors, and regions that cover all of its bytes.

The first bytes decide, then the name; whatever no parser understands is sniffed, and is opaque at worst.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from blake3 import blake3

from holdfast.vault.regions import gguf, npy, npz, safetensors, torch_zip
from holdfast.vault.regions.covering import coalesce, cover, thin
from holdfast.vault.regions.model import Layout, Source, Tensor
from holdfast.vault.regions.proposal import Foreign, Malformed, Proposal
from holdfast.vault.regions.sniff import sniff_span
from holdfast.vault.regions.zip_archives import MAGICS, read_archives

__all__ = ["propose_layout", "cover"]

# Columnar formats that compress by themselves, and mix many small columns.
OPAQUE_MAGICS: Final = (b"ARROW1", b"FEA1", b"PAR1")
NAME_LENGTH_MAX: Final = 500  # of a tensor; labels repeat it for each of its chunks
PROBLEMS_MAX: Final = 32

# A parser handles outside bytes with care and raises Malformed. Should one fail otherwise after all, the file must
# still be saved: that costs compression, and is named as a problem.
_PARSER_FAILURES: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)


class _Format(NamedTuple):
    name: str
    parse: Callable[[Source], Proposal]


def propose_layout(source: Source, name: str) -> Layout:
    """The layout of `source`, whose file is called `name`. Whatever the bytes are, `regions` cover [0, size).

    Tensors are in order of their offsets; their names are unique, at most 512 characters, and free of
    lone surrogates (parsers decode so), which no manifest could hold.
    Raises only what `source.read_at` raises.
    """
    problems: list[str] = []
    head = source.read_at(0, 16)
    expected = _by_magic(head, source.size) or _by_name(name)
    if expected is not None:
        try:
            return _finish(expected.parse(source), source.size)
        except Foreign:
            pass
        except Malformed as error:
            if _is_finding(expected, head, name):
                problems.append(f"not a sound {expected.name} file: {error}")
        except (*_PARSER_FAILURES, struct.error) as error:
            problems.append(f"the parser for {expected.name} failed on it ({type(error).__name__})")
    return _sniffed(source, head, problems)


def _sniffed(source: Source, head: bytes, problems: list[str]) -> Layout:
    spans = [] if head.startswith(OPAQUE_MAGICS) else sniff_span(source, 0, source.size)
    return Layout("floats" if spans else "opaque", cover(source.size, spans), [], problems)


def _finish(proposal: Proposal, size: int) -> Layout:
    regions = cover(size, thin(size, coalesce(proposal.spans)))
    problems = proposal.problems.copy()
    if len(problems) > PROBLEMS_MAX:
        problems[PROBLEMS_MAX:] = [f"{len(problems) - PROBLEMS_MAX} more problems of this kind"]
    return Layout(proposal.format, regions, _named_apart(proposal.tensors), problems)


def _parse_zip(source: Source) -> Proposal:
    archives = read_archives(source)
    if torch_zip.is_torch(archives):
        return torch_zip.propose(source, archives)
    if npz.is_npz(archives):
        return npz.propose(source, archives)
    raise Foreign("it is a zip file of another kind")


_SAFETENSORS: Final = _Format(safetensors.FORMAT, safetensors.parse)
_GGUF: Final = _Format(gguf.FORMAT, gguf.parse)
_NPY: Final = _Format(npy.FORMAT, npy.parse)
_NPZ: Final = _Format(npz.FORMAT, _parse_zip)
_ZIP: Final = _Format("zip", _parse_zip)
_SUFFIXES: Final = {".safetensors": _SAFETENSORS, ".gguf": _GGUF, ".npy": _NPY, ".npz": _NPZ}


def _by_magic(head: bytes, size: int) -> _Format | None:
    if head.startswith(gguf.MAGIC):
        return _GGUF
    if head.startswith(npy.MAGIC):
        return _NPY
    if head.startswith(MAGICS):
        return _ZIP
    if safetensors.looks_like(head, size):
        return _SAFETENSORS
    return None


def _by_name(name: str) -> _Format | None:
    return next((known for suffix, known in _SUFFIXES.items() if name.lower().endswith(suffix)), None)


def _is_finding(expected: _Format, head: bytes, name: str) -> bool:
    """safetensors has no magic number: bytes that merely look like a header prove nothing unless the name agrees."""
    return expected is not _SAFETENSORS or _by_name(name) is _SAFETENSORS


def _named_apart(tensors: list[Tensor]) -> list[Tensor]:
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    result = []
    for tensor in sorted(tensors, key=_position):
        name = base = _short(tensor.name)
        while name in taken:
            numbers[base] = number = numbers.get(base, 1) + 1
            name = f"{base}~{number}"
        taken.add(name)
        result.append(tensor if name == tensor.name else tensor._replace(name=name))
    return result


def _short(name: str) -> str:
    if len(name) <= NAME_LENGTH_MAX:
        return name
    return f"{name[: NAME_LENGTH_MAX - 33]}…{blake3(name.encode()).hexdigest(16)}"


def _position(tensor: Tensor) -> tuple[int, int, str]:
    return tensor.offset, -tensor.nbytes, tensor.name
