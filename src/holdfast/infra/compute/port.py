"""The port to whatever computes at a site: how many machines of a shape are there, get them, run a service on them.

An adapter is for one *pool*: machines of one shape at one site. All that it does is named by a *key*, which is the same
at each attempt, for each control plane. A process that calls it may die in any method; whoever goes on asks `find`.

* `get` and `start` with a key whose effect is there already change nothing, and tell the same.
* Nothing is ended that this port did not start: an adapter can tell its own work from that of others.
* A service runs once on each of its machines, with its number in `{machine}`; it is at capacity when all of them run.

Kubernetes and SkyPilot are not built. An adapter needs, of Kubernetes: `probe` from allocatable minus requested of the
nodes with a label, `get` as a Deployment of pause containers whose low priority `start` pre-empts, `start` as an
Indexed Job whose name follows from the key (creating it twice is an `AlreadyExists`), `stop` as a delete with a grace
period. Of SkyPilot: `get` as `sky.launch` of a cluster that is named by the key, `start` as `sky.exec`, `probe` from
its optimiser.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple, Protocol

import msgspec

from holdfast.errors import RefusedError

__all__ = ["CapacityError", "Handle", "Held", "Launch", "Machines", "Pool", "Probed", "Running", "digest_of"]


class CapacityError(RefusedError):
    """Fewer machines than are needed are to be had now; a moment later there may be more."""

    retry = True


class Probed(NamedTuple):
    """What a pool has at `at` (ns since the epoch): `ready` stand there for recoveries, `free` more are to be had,
    `taken` are not. `getting`: seconds until a free one runs, as the pool itself foresees it; None: it does not say.
    `taken_by`: in words.
    """

    ready: int
    free: int
    taken: int
    at: int
    getting: float | None = None
    taken_by: tuple[str, ...] = ()


class Held(NamedTuple):
    """Machines that were got under a key."""

    key: str
    machines: tuple[str, ...]


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What is run on each machine: no shell in between; `{machine}` stands for its number, from `first` on; `of`: how
    many the service has then (0: as many as it is started on).

    `asset`: whose service it is. `folder`: where it runs. `environment` replaces that of whoever starts it. No secrets.
    """

    asset: str
    command: tuple[str, ...]
    folder: str
    environment: dict[str, str] = {}
    first: int = 0
    of: int = 0


class Handle(msgspec.Struct, frozen=True, kw_only=True):
    """A service that was started. `machines`: as the adapter calls them, in the order of their numbers. `begun`: ns
    since the epoch. `stopped_by`: the key of who stopped it; empty while it is meant to run.
    """

    key: str
    machines: tuple[str, ...]
    launch: Launch
    begun: int
    stopped_by: str = ""


class Running(NamedTuple):
    """Of `wanted` machines so many run the service. `ended_well`: so many ended with the exit code 0. `problems`: why
    others do not, in words; empty while they are about to.
    """

    wanted: int
    running: int
    ended_well: int = 0
    problems: tuple[str, ...] = ()

    @property
    def at_capacity(self) -> bool:
        """Whether it runs on all of its machines."""
        return self.running == self.wanted > 0


class Machines(Protocol):
    """One pool. All methods raise only errors of `holdfast.errors`; called from threads."""

    def probe(self) -> Probed:
        """Without side effects."""
        ...

    def get(self, number: int, key: str, seconds: float) -> Held:
        """Take so many of those that are free, and wait at most so long until they run. Raises CapacityError: none of
        them is kept then.
        """
        ...

    def held(self, key: str) -> Held | None:
        """What `get` took under this key, once all of it runs."""
        ...

    def give_back(self, key: str) -> None:
        """What was got under this key; nothing where nothing was. A service on it has been stopped before."""
        ...

    def start(self, launch: Launch, number: int, key: str, *, held: tuple[str, ...] = ()) -> Handle:
        """Run it on so many machines: those got under the keys `held`, and of those that stand ready.

        Raises CapacityError, FailedError (it cannot be run at all).
        """
        ...

    def find(self, key: str) -> Handle | None:
        """The service of that key, if it is in effect: started on all its machines, and not stopped."""
        ...

    def services(self, asset: str) -> list[Handle]:
        """What this port started of an asset, and did not stop, the oldest first; also what has ended by itself."""
        ...

    def running(self, handle: Handle) -> Running:
        """How it is."""
        ...

    def stop(self, handle: Handle, by: str, seconds: float, name: str = "TERM") -> Handle:
        """End it on all machines by this signal; after so many seconds, by force. It has ended when this returns.
        Machines that it had are free again, but for those that are held under a key of `get`. Raises FailedError.
        """
        ...

    def stopped(self, by: str) -> list[Handle]:
        """What was stopped, or was about to be, with `by`: what taking that back starts again."""
        ...


class Pool(NamedTuple):
    """Which one: for messages."""

    site: str
    shape: str

    def __str__(self) -> str:
        return f"{self.shape} at {self.site}"


def digest_of(key: str) -> str:
    """24 hex digits: a key as a name of files and jobs."""
    return hashlib.sha256(key.encode()).hexdigest()[:24]
