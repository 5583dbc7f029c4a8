"""How a place in a vault is written as a path: `<asset>@<reference>/<path in the snapshot>`.

In the first name, and only there, `%`, `/`, `@` and what would mean something to a glob or a URL stand as `%XX`. The
rest of the path is that of the snapshot, as it is.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from holdfast.ids import is_snapshot_id

__all__ = ["SCHEME", "SnapshotPath", "split_path", "split_url", "reference_of", "snapshot_name"]

SCHEME = "holdfast"
_ENCODED = frozenset("%/@*?[]{}#:\\")


class SnapshotPath(NamedTuple):
    """`snapshot` as it was written, empty for the vault itself; `inner` is empty for the top of the snapshot."""

    snapshot: str
    inner: str


def split_url(url: str) -> tuple[str, str]:
    """(vault, path) of `holdfast://<vault>/<path>`; a path without a scheme names no vault."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme != SCHEME:
        return "", url.strip("/")
    vault, _, path = rest.partition("/")
    return unquote(vault), path.strip("/")


def split_path(path: str) -> SnapshotPath:
    snapshot, _, inner = path.strip("/").partition("/")
    return SnapshotPath(snapshot, inner)


def reference_of(snapshot: str) -> str:
    """The reference that the first name of a path means. Without `@` it is a snapshot's id, or an asset's latest."""
    asset, at, selector = snapshot.rpartition("@")
    if at:
        return f"{unquote(asset)}@{unquote(selector)}"
    name = unquote(snapshot)
    return name if is_snapshot_id(name.lower()) else f"{name}@latest"


def snapshot_name(asset: str, reference: str) -> str:
    """The first name of a path for a snapshot."""
    return f"{_encode(asset)}@{_encode(reference)}"


def _encode(text: str) -> str:
    return "".join(f"%{ord(one):02X}" if one in _ENCODED or one < " " else one for one in text)
