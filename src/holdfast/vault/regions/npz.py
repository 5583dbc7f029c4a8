"""NumPy's `.npz`: a zip of `.npy` files. Members that are stored uncompressed get regions."""

from __future__ import annotations

from typing import Final

from holdfast.vault.regions import npy
from holdfast.vault.regions.model import Region, Source, Tensor
from holdfast.vault.regions.proposal import Foreign, Malformed, Proposal
from holdfast.vault.regions.shapes import TENSORS_MAX
from holdfast.vault.regions.source import Slice
from holdfast.vault.regions.zip_archives import Archive, Member

__all__ = ["FORMAT", "is_npz", "propose"]

FORMAT: Final = "npz"
SUFFIX: Final = ".npy"


def is_npz(archives: list[Archive]) -> bool:
    """Whether this zip is one that NumPy might have written."""
    return len(archives) == 1 and any(member.name.endswith(SUFFIX) for member in archives[0].members)


def propose(source: Source, archives: list[Archive]) -> Proposal:
    """Regions and tensors of the uncompressed members, named as in `numpy.load(…)[name]`. Raises Malformed."""
    result = Proposal(FORMAT, [], [], [])
    members = [member for member in archives[0].members if member.name.endswith(SUFFIX) and member.stored]
    if len(members) > TENSORS_MAX:
        raise Malformed("it lists too many arrays")
    for member in members:
        _add(result, source, member)
    return result


def _add(result: Proposal, source: Source, member: Member) -> None:
    name = member.name.removesuffix(SUFFIX)
    try:
        part = npy.parse_named(Slice(source, member.data_offset, member.size), name)
    except Foreign:
        return
    except Malformed as error:
        result.problems.append(f"its member {name[:80]!r} is not a sound npy file: {error}")
        return
    start = member.data_offset
    result.spans.extend(Region(start + span.offset, span.length, span.element) for span in part.spans)
    result.tensors.extend(_moved(tensor, start) for tensor in part.tensors)
    result.problems.extend(f"its member {name[:80]!r}: {problem}" for problem in part.problems)


def _moved(tensor: Tensor, by: int) -> Tensor:
    return tensor._replace(offset=tensor.offset + by)
