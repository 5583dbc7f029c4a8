"""The saving process, as training sees it: started when it is needed, listened to, and told of when it is gone."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

import holdfast
from holdfast.errors import FailedError, HoldfastError
from holdfast.training.saving.channel import Channel
from holdfast.training.saving.messages import REPORTS, Finish, Report, SaveOrder, Settings, SharedMemory, Withdraw

__all__ = ["Worker"]

_MODULE = "holdfast.training.saving.process"
_DEAF_SECONDS = 10


class Worker:
    """One process. `on_report` and `on_end` (with a sentence about how it ended) are called from a thread.

    Not by `multiprocessing`: that would run the training script anew in the other process, import its frameworks
    there, and needs `if __name__ == "__main__"` in it. Nothing secret is in its arguments or on the line to it.
    """

    def __init__(
        self, settings: Settings, on_report: Callable[[Report], None], on_end: Callable[[Worker, str], None]
    ) -> None:
        """Raises FailedError when it cannot be started."""
        self._on_report, self._on_end = on_report, on_end
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(  # `-P`: what lies in the working folder is not imported
                [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # which is training's; errors may be seen
                pass_fds=[theirs.fileno()],
                env=_environment(),
                process_group=0,  # a Ctrl-C in the terminal means training
            )
        except OSError as error:
            ours.close()
            raise FailedError(f"the saving process cannot be started ({error.strerror})") from error
        finally:
            theirs.close()
        # A process that hears nothing any more must not hold training: the line is full after some hundred messages.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _DEAF_SECONDS, 0))
        self._channel: Channel[Report] = Channel(ours, REPORTS)
        self._channel.send(settings)
        self._listener = threading.Thread(target=self._listen, daemon=True, name="holdfast-saver")
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def share(self, number: int, size: int, descriptor: int) -> bool:
        """Let it see this memory. False when it is gone: `on_end` follows."""
        return self._send(SharedMemory(number, size), descriptor)

    def order(self, order: SaveOrder) -> bool:
        """The same for a save."""
        return self._send(order)

    def withdraw(self, ticket: int) -> bool:
        return self._send(Withdraw(ticket))

    def finish(self, seconds: float) -> None:
        """Let it end when it is done. Its end is no surprise then."""
        self._channel.send(Finish(seconds))

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, and all that it said was heard."""
        self._listener.join(seconds)
        return not self._listener.is_alive()

    def kill(self) -> None:
        self._process.kill()

    def forget(self) -> None:
        """In a forked child: the line is the parent's."""
        self._channel.close()

    def _send(self, message: msgspec.Struct, descriptor: int | None = None) -> bool:
        """Where it cannot be sent, or only a part of it was, the process is of no more use: another one follows."""
        sent = self._channel.send(message, descriptor)
        if not sent:
            self._process.kill()
        return sent

    def _listen(self) -> None:
        while True:
            try:
                report = self._channel.receive()
            except HoldfastError:
                self._process.kill()
                report = None
            if report is None:
                break
            self._on_report(report)
        status = self._process.wait()
        self._channel.close()
        self._on_end(self, _told(status))


def _environment() -> dict[str, str]:
    """This process's, so that the key is found as here; and this very Holdfast is imported."""
    environment = dict(os.environ)
    home = Path(holdfast.__file__).resolve().parents[1]
    if home.name not in ("site-packages", "dist-packages"):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(home), environment.get("PYTHONPATH", ""))))
    return environment


def _told(status: int) -> str:
    if status >= 0:
        return f"it ended with status {status}"
    try:
        return f"it was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"it was ended by signal {-status}"
