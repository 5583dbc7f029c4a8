"""What training and the saving process say to each other. No key and no part of a state is ever in a message."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = [
    "Settings", "SharedMemory", "StagedFile", "SaveOrder", "Withdraw", "Finish",
    "Opened", "Durable", "Spooled", "Failed", "Waiting", "Trouble", "Dropped", "Sent",
    "Order", "Report", "ORDERS", "REPORTS",
]  # fmt: skip


class Settings(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The first message. `vault`: empty where holdfast.yaml says where the asset goes. `options`: the store's own.

    `spool`: a folder, empty for none; `spool_bytes_max`: in it.
    """

    vault: str
    asset: str
    options: dict[str, str]
    spool: str
    spool_bytes_max: int
    niceness: int
    orphan_seconds: float  # how long it may go on when training has died


class SharedMemory(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Comes with a file descriptor: the memory that staged states lie in, under this number from now on."""

    number: int
    size: int


class StagedFile(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """One file of a staged state: `size` bytes from `offset` on in the shared memory."""

    name: str
    offset: int
    size: int


class SaveOrder(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Save what is staged (`files` in the memory `memory`), or the folder or file at `path`.

    `ticket`: counts up. `content_ns`: when the state was what it is.
    """

    ticket: int
    memory: int
    files: list[StagedFile]
    path: str
    step: int | None
    content_ns: int
    metrics: dict[str, float]
    metadata: dict[str, str]
    versions: dict[str, str]
    tags: list[str]
    policy: str
    verify: bool

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)


class Withdraw(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Something newer is to take the place of a staged state that waits. Answered by `Failed` unless it is done."""

    ticket: int


class Finish(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """End when what is staged is done. The backlog is sent for so many seconds more, then stays in the spool."""

    seconds: float


class Opened(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The vault is open. `left`: what an earlier run left in the spool."""

    vault: str
    left: int


class Durable(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Committed, read back (where asked for), and wherever its class demands. `verdict`: of the validation."""

    ticket: int
    snapshot: str
    verdict: str
    seconds: float
    raw_bytes: int
    stored_bytes: int


class Spooled(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The state lies on the local disk, its shared memory is free. It is not durable."""

    ticket: int
    bytes: int
    code: str
    message: str


class Failed(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The state is not saved and will not be, its shared memory is free."""

    ticket: int
    code: str
    message: str
    hint: str


class Waiting(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The state stays in shared memory (or the folder where it is) and is tried again."""

    ticket: int
    code: str
    message: str


class Trouble(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """For people: a retry, a fallback."""

    message: str


class Dropped(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The spool was full: the state with this ticket, or of an earlier run (`ticket` 0), gave way to a newer one."""

    ticket: int
    step: int | None
    bytes: int


class Sent(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """From the backlog of an earlier run or saving process: it is durable now."""

    step: int | None
    snapshot: str
    content_ns: int


Order = Settings | SharedMemory | SaveOrder | Withdraw | Finish
Report = Opened | Durable | Spooled | Failed | Waiting | Trouble | Dropped | Sent
ORDERS: Final = msgspec.msgpack.Decoder(Order)
REPORTS: Final = msgspec.msgpack.Decoder(Report)
