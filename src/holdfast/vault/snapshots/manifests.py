"""Whether a manifest makes sense. Its bytes are whole when it comes here; who wrote them may still have meant harm."""

from __future__ import annotations

from holdfast.errors import DamageError
from holdfast.vault.format.records import Entry, Part, TensorRecord
from holdfast.vault.regions.shapes import DIMENSIONS_MAX

__all__ = ["check_part"]

_MODE_MAX = 0o7777
_HOLE = 3


def check_part(part: Part, key: str) -> None:
    """Raises DamageError when the numbers of a manifest do not fit together, or a path leads outside."""
    for entry in part.entries:
        if not (_is_placed_inside(entry) and _has_sound_facts(entry) and _adds_up(entry)):
            raise DamageError(f"{key} is not a coherent manifest (at {entry.path!r})", object_name=key)


def _is_placed_inside(entry: Entry) -> bool:
    if entry.path == b".":
        return entry.type == "folder"  # a link there would lead a restore astray
    return all(name not in (b"", b".", b"..") and b"\0" not in name for name in entry.path.split(b"/"))


def _has_sound_facts(entry: Entry) -> bool:
    if entry.type not in ("file", "folder", "link") or (entry.type != "file" and entry.size):
        return False
    if entry.type == "link" and (not entry.target or b"\0" in entry.target):
        return False
    return 0 <= entry.mode <= _MODE_MAX


def _adds_up(entry: Entry) -> bool:
    """Chunks fill runs, runs fill the file, tensors lie in it."""
    if len(entry.lengths) % 4:
        return False
    lengths = [int.from_bytes(entry.lengths[i : i + 4], "little") for i in range(0, len(entry.lengths), 4)]
    counted = total = 0
    for length, kind, width, count in entry.runs:
        if not (0 <= kind <= _HOLE and width in (1, 2, 4, 8) and count >= 0 and length >= 0):
            return False
        if count if kind == _HOLE else sum(lengths[counted : counted + count]) != length:
            return False
        counted += count
        total += length
    if counted != len(lengths) or len(entry.chunks) != 32 * counted:
        return False
    return total == entry.size < 1 << 63 and all(_lies_in(tensor, entry.size) for tensor in entry.tensors)


def _lies_in(tensor: TensorRecord, size: int) -> bool:
    if len(tensor.shape) > DIMENSIONS_MAX or any(edge < 0 for edge in tensor.shape):
        return False
    return tensor.offset >= 0 and 0 <= tensor.bytes <= size - tensor.offset
