"""The command, in a process group of its own; the terminal is its, as long as it runs, as a shell would do it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from holdfast.errors import FailedError, NotFoundError, PermissionDeniedError

__all__ = ["Command", "Stopped"]

# Python ignores these for itself; a command expects them as they are by default.
_DEFAULTS = [signal.SIGPIPE, signal.SIGXFSZ]


class Stopped(int):
    """The signal by which a command was stopped: it has not ended."""


class Command:
    """A running command. For the main thread only."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it with this process's stdin, stdout and stderr.

        Raises NotFoundError (no such program), PermissionDeniedError, FailedError.
        """
        self._terminal = _terminal()
        try:
            self.pid = os.posix_spawnp(
                arguments[0], list(arguments), dict(environment), setpgroup=0, setsigdef=_DEFAULTS, setsigmask=[]
            )
        except FileNotFoundError as error:
            raise NotFoundError(f"there is no program {arguments[0]!r}", hint="give its path after --") from error
        except PermissionError as error:
            raise PermissionDeniedError(f"{arguments[0]!r} may not be executed") from error
        except (OSError, ValueError) as error:
            raise FailedError(f"{arguments[0]!r} cannot be started ({error})") from error
        self.status: int | None = None
        if self._terminal is not None:
            _give_terminal(self._terminal, self.pid)

    @property
    def is_foreground(self) -> bool:
        """Whether the terminal is the command's: then the keys for signals reach it without us."""
        return self._terminal is not None

    def poll(self) -> int | Stopped | None:
        """The status of `waitpid` when it has ended, `Stopped` when it was stopped just now, None while it runs.

        One that only wanted the terminal before it had it is continued at once.
        """
        if self.status is not None:
            return self.status
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:  # somebody made SIGCHLD ignored: how it ended nobody knows
            self.status = 0
            return self.status
        if pid == 0:
            return None
        if os.WIFSTOPPED(status):
            number = os.WSTOPSIG(status)
            if self._terminal is not None and number in (signal.SIGTTIN, signal.SIGTTOU):
                self.send(signal.SIGCONT)
                return None
            return Stopped(number)
        self.status = status
        self.take_terminal()
        return status

    def send(self, number: int) -> None:
        """To its whole group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def suspend_with_us(self) -> None:
        """Ctrl-Z: the shell gets the terminal, and this process stops as well, until the shell continues it."""
        self.take_terminal()
        os.kill(os.getpid(), signal.SIGSTOP)
        if self._terminal is not None:
            _give_terminal(self._terminal, self.pid)
        self.send(signal.SIGCONT)

    def take_terminal(self) -> None:
        if self._terminal is not None:
            _give_terminal(self._terminal, os.getpgrp())


def _terminal() -> int | None:
    """The controlling terminal, where it is stdin and this process is in its foreground."""
    with suppress(OSError, ValueError, AttributeError):
        number = sys.stdin.fileno()
        if os.isatty(number) and os.tcgetpgrp(number) == os.getpgrp():
            return number
    return None


def _give_terminal(terminal: int, group: int) -> None:
    """Whoever sets the terminal's group from the background is stopped by SIGTTOU, unless that is ignored."""
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        with suppress(OSError):  # the terminal was closed, or the group has ended already
            os.tcsetpgrp(terminal, group)
    finally:
        signal.signal(signal.SIGTTOU, before)
