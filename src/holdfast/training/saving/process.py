"""The saving process: takes orders from training, writes snapshots, keeps what a store that is away cannot take.

It imports no framework, has a low priority, and opens the vault itself, with the key that this machine has for it. It
ends when training says so or has died, after what is staged is saved; then at the latest after a limit.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

from holdfast.training.saving.channel import Channel
from holdfast.training.saving.inbox import Inbox
from holdfast.training.saving.messages import ORDERS, Order, Settings

__all__ = ["main"]

_OOM_SCORE = "500"  # when memory runs out this process is killed, and not training: it is started again
_LATE = 70  # exit status: the limit was over


def main(arguments: list[str]) -> int:
    """`arguments`: the number of the file descriptor that leads to training."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they mean training, which says when this process is to end
    end = socket.socket(fileno=int(arguments[0]))
    end.set_inheritable(False)
    channel: Channel[Order] = Channel(end, ORDERS)
    settings = channel.receive()
    if not isinstance(settings, Settings):
        return 1
    with suppress(OSError):
        os.nice(settings.niceness)
    with suppress(OSError):  # nor does it take the processor from training when it has news (2 ms for each save)
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    inbox = Inbox(channel, os.getppid(), settings.orphan_seconds, _end_late)
    threading.Thread(target=inbox.receive, daemon=True, name="holdfast-receive").start()
    from holdfast.training.saving.duty import Duty

    Duty(channel, settings, inbox).run()
    return 0


def _end_late() -> None:
    """For a timer: whatever is under way, this process ends. A snapshot that is not committed was never there."""
    os._exit(_LATE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
