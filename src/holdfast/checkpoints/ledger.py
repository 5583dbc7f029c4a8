"""What has been protected already, in a small JSON file, so that a restarted watch does not save it again.

Losing the file costs one more save of each checkpoint, which deduplication makes cheap; so a damaged one is reported
and begun anew, never repaired. It is replaced as a whole: written beside, synced, renamed.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from holdfast.checkpoints.candidates import Candidate, Marker
from holdfast.clock import to_rfc3339
from holdfast.durable import replace_file
from holdfast.errors import FailedError

__all__ = ["Ledger", "ENTRIES_MAX"]

FORMAT = 1
ENTRIES_MAX = 10_000  # about 3 MB; a run that keeps more checkpoints than this at once is hard to imagine


class _Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """`fingerprint` of the files as they were saved; `marker` names, sizes and dates the marker of that save.

    `snapshot`: the id that the save gave it; empty in files of older versions.
    """

    fingerprint: str
    time: str
    marker: str = ""
    vouches: str = ""
    snapshot: str = ""


class _State(msgspec.Struct, frozen=True):
    format: int
    protected: dict[str, _Entry]


def _identity(marker: Marker | None) -> str:
    return "" if marker is None else f"{marker.name} {marker.size} {marker.mtime_ns}"


class Ledger:
    """The protected checkpoints of one watched folder, by path relative to it. Not for several threads."""

    def __init__(self, path: Path) -> None:
        """Read the state file, if there is one. `problem` then says in one sentence why it was not used."""
        self._path = path
        self.problem = ""
        self._entries: dict[str, _Entry] = {}
        try:
            self._entries = self._read()
        except FileNotFoundError:
            return
        except OSError as error:
            self.problem = f"state file {path} cannot be read ({error.strerror}); starting anew"
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            self.problem = f"state file {path} is damaged; starting anew"

    def _read(self) -> dict[str, _Entry]:
        state = msgspec.json.decode(self._path.read_bytes(), type=_State)
        if state.format != FORMAT:
            self.problem = f"state file {self._path} is of format {state.format}, not {FORMAT}; starting anew"
            return {}
        return dict(state.protected)

    def holds(self, key: str, candidate: Candidate) -> bool:
        """Whether the checkpoint has been protected as it is now."""
        entry = self._entries.get(key)
        return entry is not None and entry.fingerprint == candidate.fingerprint

    def is_torn(self, key: str, candidate: Candidate) -> bool:
        """Whether data has changed since it was protected while the marker that stands for the data has not.

        That is an overwrite under way, or one that a crash cut short; the framework would load it without complaint.
        """
        entry, marker = self._entries.get(key), candidate.marker
        if entry is None or marker is None or not entry.vouches or not marker.vouches:
            return False
        return entry.marker == _identity(marker) and entry.vouches != marker.vouches

    def forget_lost(self, present: Collection[str]) -> list[str]:
        """Forget what a vault that was set back no longer has, given the ids of its snapshots. Returns the checkpoints.

        What was protected after the last snapshot that is still there is lost. Older ones that are absent were dropped
        by somebody, and stay protected.
        """
        lost = []
        for key, entry in reversed(self._entries.items()):
            if entry.snapshot in present:
                break
            if entry.snapshot:
                lost.append(key)
        for key in lost:
            del self._entries[key]
        return lost[::-1]

    def record(self, key: str, candidate: Candidate, time_ns: int, snapshot: str = "") -> None:
        """Remember that the checkpoint is protected. Raises FailedError when that could not be written.

        It is then still remembered by this object.
        """
        vouches = candidate.marker.vouches if candidate.marker else ""
        self._entries.pop(key, None)  # the newest entry is the last: the oldest are dropped first
        self._entries[key] = _Entry(
            candidate.fingerprint, to_rfc3339(time_ns), _identity(candidate.marker), vouches, snapshot
        )
        for oldest in list(self._entries)[: max(0, len(self._entries) - ENTRIES_MAX)]:
            del self._entries[oldest]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, msgspec.json.format(msgspec.json.encode(_State(FORMAT, self._entries)), indent=1))
        except OSError as error:
            raise FailedError(
                f"state file {self._path} cannot be written ({error.strerror})",
                hint="until it can, a restart saves again what is protected now",
                object_name=str(self._path),
            ) from error
