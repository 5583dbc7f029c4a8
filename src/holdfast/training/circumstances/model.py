"""`circumstances.json`: under which circumstances a state was computed, as types and as bytes.

One JSON object of at most `LARGEST` bytes. `version` 1 only ever gains fields; a reader ignores those that it does not
know. Nothing in it is needed to read the state, and nothing secret is in it (`scrubbing.py`).
"""

from __future__ import annotations

import math

import msgspec

from holdfast.errors import DamageError, UnsupportedFormatError

__all__ = ["Circumstances", "Code", "Environment", "Layout", "Dataset", "FILE_NAME", "LARGEST", "encoded", "parsed"]

FILE_NAME = "circumstances.json"
LARGEST = 4 << 20
_FORMAT = "holdfast/circumstances"


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """The revision of a Git working tree. `diff`: of tracked files to `commit`, scrubbed of secrets, cut off at
    `code.DIFF_KEPT` bytes; `diff_sha256`: of all of it, unscrubbed and uncut, empty where nothing differs.

    `untracked`: names of files that Git does not know and does not ignore, the first of them; `untracked_count`: all.
    """

    commit: str
    branch: str = ""
    remote: str = ""
    diff: str = ""
    diff_sha256: str = ""
    diff_cut: bool = False
    untracked: list[str] = []
    untracked_count: int = 0

    @property
    def dirty(self) -> bool:
        """Whether tracked files differ from the commit."""
        return bool(self.diff_sha256)


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What computed. `settings`: switches of the frameworks that change results; `variables`: of the process, those of
    `environment.VARIABLES` only.
    """

    python: str = ""
    implementation: str = ""
    system: str = ""
    libc: str = ""
    machine: str = ""
    host: str = ""
    cpu: str = ""
    cpus: int = 0
    gpus: list[str] = []
    driver: str = ""
    cuda: str = ""
    settings: dict[str, str] = {}
    variables: dict[str, str] = {}


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """How the job was spread. `dims`: name → size, outermost first (`{"dp": 4, "tp": 2}`); their product is `world`
    where all are named. `source`: who said so.
    """

    world: int = 1
    rank: int = 0
    local_world: int = 1
    backend: str = ""
    dims: dict[str, int] = {}
    source: str = ""


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """Which data. `version` identifies it if `pinned`; else it names something that can move, a branch say.

    `kind`: `dvc`, `lakefs`, `huggingface`, `content` (BLAKE3 over names and bytes), `listing` (over names, sizes and
    times: the data were too many to read), `stated`.
    """

    kind: str
    location: str
    version: str
    pinned: bool = True


class Circumstances(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag=_FORMAT):
    """Everything besides the state. `gathered`: RFC 3339, UTC. `states`: which states for a resume were handed in, and
    what they are. `hyperparameters`: flat, name → JSON. `missing`: what could not be gathered, and why.
    """

    version: int = 1
    gathered: str = ""
    step: int | None = None
    code: Code | None = None
    packages: dict[str, str] = {}
    environment: Environment | None = None
    layout: Layout | None = None
    datasets: dict[str, Dataset] = {}
    hyperparameters: dict[str, str] = {}
    states: dict[str, str] = {}
    missing: dict[str, str] = {}


def encoded(circumstances: Circumstances) -> bytes:
    """As the bytes of the file: deterministic, one field a line, so that people can read it, too."""
    return msgspec.json.format(msgspec.json.encode(circumstances, order="sorted"), indent=1) + b"\n"


def parsed(data: bytes, where: str = FILE_NAME) -> Circumstances:
    """The circumstances of a file. Raises DamageError, or UnsupportedFormatError for what a later version wrote."""
    if len(data) > LARGEST:
        raise DamageError(f"{where} has more than {LARGEST >> 20} MiB", object_name=where)
    try:
        version = msgspec.json.decode(data, type=_Version).version
        if version != 1:
            raise UnsupportedFormatError(f"{where} is of version {version}", object_name=where)
        found = msgspec.json.decode(data, type=Circumstances)
        encoded(found)  # text that is no Unicode is noticed here, not by whoever shows it
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise DamageError(f"{where} cannot be read: {type(error).__name__}", object_name=where) from error
    if found.layout is not None and not _possible(found.layout):
        raise DamageError(f"{where} tells of a layout that cannot be", object_name=where)
    return found


class _Version(msgspec.Struct, tag_field="format", tag=_FORMAT):
    version: int


def _possible(layout: Layout) -> bool:
    sizes = [layout.world, layout.local_world, *layout.dims.values()]
    return all(0 < size < 1 << 31 for size in sizes) and 0 <= layout.rank < layout.world and math.prod(sizes) > 0
