"""What a rank knows of earlier snapshots: its own share of the last one, from this machine or from the vault."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from holdfast.errors import DamageError, NotFoundError, UntrustedError, WrongKeyError
from holdfast.vault.format.records import Entry, Part, Root, encode_record
from holdfast.vault.handle import Handle
from holdfast.vault.saving.memory import LocalBases, Remembered, memory_path, recall
from holdfast.vault.saving.parents import Bases
from holdfast.vault.snapshots.finding import read_parts, resolve

__all__ = ["Known", "known_of", "rank_memory"]


class Known(NamedTuple):
    """`snapshot`: id of the newest one, empty where none is known. `entries`: files of it, at least those of this rank;
    `whole`: all of them. `content`: its content time (ns).
    """

    snapshot: str
    content: int
    entries: tuple[Entry, ...]
    whole: bool
    bases: Bases
    remembered: Remembered | None


def rank_memory(handle: Handle, asset: str, rank: int, world: int) -> Path | None:
    """Where this machine keeps what a rank saved last."""
    path = memory_path(handle.keys, asset)
    return None if path is None else path.with_name(f"{path.name}.rank{rank}of{world}")


def known_of(handle: Handle, asset: str, rank: int, world: int, *, whole: bool = False) -> Known:
    """The newest snapshot as far as this rank needs it. Manifests of others are only read where the ranks were others,
    or `whole` asks for them. One that is damaged is left aside with a note.
    """
    remembered = recall(rank_memory(handle, asset, rank, world))
    bases = Bases(handle, LocalBases(handle.keys.names, remembered))
    mine = _files(remembered.parts) if remembered is not None else ()
    if not handle.keys.can_read:
        content = remembered.content if remembered is not None else 0
        return Known("", content, mine, False, bases, remembered)
    try:
        root = resolve(handle, f"{asset}@latest")
        if not whole and remembered is not None and _is_of(handle, remembered.parts, root):
            return Known(root.id, root.content, mine, False, bases, remembered)
        return Known(root.id, root.content, _files(read_parts(handle, root)), True, bases, remembered)
    except NotFoundError:
        return Known("", 0, (), True, bases, None)
    except (DamageError, UntrustedError, WrongKeyError) as error:
        handle.progress.note(f"saved without a parent: {error.message}")
        return Known("", 0, (), False, bases, None)


def _is_of(handle: Handle, parts: list[Part], root: Root) -> bool:
    links = {link.id.hex() for link in root.parts}
    return all(handle.keys.names.part_id(encode_record(part)) in links for part in parts)


def _files(parts: list[Part]) -> tuple[Entry, ...]:
    return tuple(entry for part in parts for entry in part.entries if entry.type == "file")
