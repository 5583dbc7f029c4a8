"""Several sites on one machine, each a network namespace, and the links between them: delayed, lossy, slow, cut.

::

    with Network("east", "west", "north") as network:
        network.link("east", "west").set(delay_s=0.05, loss=0.02, bits_per_s=100e6)
        with SeaweedAt(network["west"], folder) as server:          # holdfast.testing.site_servers
            network["east"].run([sys.executable, "-m", "holdfast.cli.main", …])
            network.isolate("north"); network.heal()

Every two sites have a link of their own, so what is between two of them can fail by itself. This process takes part
as the site `HERE` (it stays in its own namespace), unless told otherwise. Everything goes when the `with` ends, or
this process does. Needs Linux and root, and no tool: see `namespaces` and `wire`.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, NamedTuple, Self, TypedDict, Unpack

from holdfast.errors import FailedError, UsageError
from holdfast.testing.namespaces import current_namespace, inside, new_namespace, tunnel_device

__all__ = ["HERE", "Conditions", "Link", "LinkCounts", "Network", "Site"]

HERE = "here"

_SUBNETS = 512  # /24s of 198.18.0.0/15, which RFC 2544 sets aside for tests of networks
_MTU = 1500  # bytes, as on most lines; the window of TCP under loss depends on it


class Conditions(TypedDict, total=False):
    """What a link does to packets, the same in both directions. At first: nothing."""

    up: bool  # False: every packet vanishes, without a word to anybody
    delay_s: float  # one way: a round trip takes twice this
    jitter_s: float  # and up to this more, at random, without changing the order
    loss: float  # the share of packets that vanish, from 0 to 1
    bits_per_s: float  # of IP packets; 0: as fast as it goes
    queue_s: float  # how much of a slow line may wait before packets are dropped; at first 0.1


class LinkCounts(NamedTuple):
    """What arrived in one direction; `lost` by loss and cuts, `dropped` by full queues."""

    packets: int
    bytes: int
    lost: int
    dropped: int


class Site:
    """One place: a namespace with an address that the others reach over their links."""

    def __init__(self, name: str, namespace: int, address: str) -> None:
        self.name = name
        self.address = address
        self._namespace = namespace

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread is at the site: its new sockets, threads and processes belong there, and stay there."""
        with inside(self._namespace):
            yield

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """`subprocess.Popen` at the site."""
        with self.inside():
            return subprocess.Popen(command, **options)

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """`subprocess.run` at the site; without `check=True` a failure is only told."""
        with self.inside():
            return subprocess.run(command, check=options.pop("check", False), **options)


class Link:
    """What lies between two sites."""

    def __init__(self, network: Network, number: int, sites: tuple[str, str], addresses6: tuple[str, str]) -> None:
        self.sites = sites
        self._network = network
        self._number = number
        self._addresses6 = addresses6

    def address6(self, site: str) -> str:
        """The IPv6 address that `site` has on this link."""
        return self._addresses6[self.sites.index(site)]

    def set(self, **conditions: Unpack[Conditions]) -> None:
        """Change what is named, from now on; the rest stays."""
        self._network._order([self._number], conditions)

    def cut(self) -> None:
        """Nothing gets through any more; nobody is told."""
        self.set(up=False)

    def heal(self) -> None:
        """Packets get through again."""
        self.set(up=True)

    def counts(self, sender: str) -> LinkCounts:
        """What has come through from `sender` so far."""
        (found,) = self._network._order([self._number], {})
        return LinkCounts(**found[self.sites.index(sender)])

    @contextmanager
    def flapping(self, up_s: float, down_s: float) -> Iterator[None]:
        """Meanwhile the link is up and down in turn, beginning with down; afterwards it is up."""
        ended = threading.Event()

        def flap() -> None:
            while not ended.is_set():
                self.cut()
                ended.wait(down_s)
                self.heal()
                ended.wait(up_s)

        thread = threading.Thread(target=flap, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.heal()


class Network:
    """Sites `names`, and this process as `HERE` if `here`; links between every two. Use it as a context manager.

    `seed` decides which packets are lost. Raises PermissionDeniedError without root.
    """

    def __init__(self, *names: str, here: bool = True, seed: int = 0, mtu: int = _MTU) -> None:
        if len(set(names)) != len(names) or HERE in names or not 0 < len(names) < 100:
            raise UsageError(f"a network needs different names of sites, and none may be {HERE!r}")
        self._names = [HERE, *names] if here else list(names)
        self._seed, self._mtu = seed, mtu
        self._sites: dict[str, Site] = {}
        self._links: dict[frozenset[str], Link] = {}
        self._wire: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._held = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as held:
            subnet = held.enter_context(_subnet())
            for number, name in enumerate(self._names, 1):
                namespace = current_namespace() if name == HERE else new_namespace()
                held.callback(os.close, namespace)
                self._sites[name] = Site(name, namespace, f"198.{18 + (subnet >> 8)}.{subnet & 255}.{number}")
            self._wire = self._connect(subnet)
            held.callback(self._end_wire)
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def __getitem__(self, name: str) -> Site:
        return self._sites[name]

    def __iter__(self) -> Iterator[Site]:
        return iter(self._sites.values())

    def link(self, one: str, other: str) -> Link:
        """What lies between these two."""
        return self._links[frozenset((one, other))]

    def links(self, site: str = "") -> list[Link]:
        """All links, or those of one site."""
        return [link for link in self._links.values() if not site or site in link.sites]

    def partition(self, *groups: Sequence[str]) -> None:
        """Cut every link between different groups. Sites that are in none form one more."""
        rest = set(self._names).difference(*groups)
        group_of = {name: number for number, group in enumerate([*groups, sorted(rest)]) for name in group}
        self._set_all(
            [link for link in self._links.values() if len({group_of[name] for name in link.sites}) > 1], up=False
        )

    def isolate(self, site: str) -> None:
        """Cut all links of a site."""
        self._set_all(self.links(site), up=False)

    def heal(self) -> None:
        """All links are up again; delays and losses stay."""
        self._set_all(self.links(), up=True)

    def _set_all(self, links: Sequence[Link], **conditions: Unpack[Conditions]) -> None:
        self._order([link._number for link in links], conditions)

    def _connect(self, subnet: int) -> subprocess.Popen[str]:
        """Make a device at both ends of each link, and start the process that is the wires between them."""
        devices: list[tuple[int, int]] = []
        mark = secrets.token_hex(3)
        with ExitStack() as opened:
            for number, (one, other) in enumerate(itertools.combinations(self._names, 2)):
                prefix = f"fd18:{subnet:x}:{number:x}::"
                ends = (self._sites[one], f"{prefix}0"), (self._sites[other], f"{prefix}1")
                pair = []
                for (site, address6), (peer, _) in (ends, ends[::-1]):
                    with site.inside():
                        device = tunnel_device(f"hf{mark}{number:x}", site.address, peer.address, address6, self._mtu)
                    opened.callback(os.close, device)
                    pair.append(device)
                devices.append((pair[0], pair[1]))
                link = Link(self, number, (one, other), (f"{prefix}0", f"{prefix}1"))
                self._links[frozenset((one, other))] = link
            return subprocess.Popen(
                [sys.executable, "-m", "holdfast.testing.wire", json.dumps({"seed": self._seed, "links": devices})],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=[device for pair in devices for device in pair],
                start_new_session=True,
            )

    def _order(self, links: Sequence[int], conditions: Conditions) -> list[list[dict[str, int]]]:
        """Tell the wires; the counts of both directions of each link."""
        told: dict[str, Any] = dict(conditions)
        if "bits_per_s" in conditions:
            told["bytes_per_s"] = told.pop("bits_per_s") / 8
        with self._lock:
            wire = self._wire
            if wire is None or wire.stdin is None or wire.stdout is None:
                raise UsageError("the network is not up", hint="use it inside its `with`")
            answer = ""
            with suppress(BrokenPipeError):
                wire.stdin.write(json.dumps({"links": list(links), "set": told}) + "\n")
                wire.stdin.flush()
                answer = wire.stdout.readline()
        if not answer:
            raise FailedError(f"the process that carries the packets ended with status {wire.poll()}")
        counts: list[list[dict[str, int]]] = json.loads(answer)["counts"]
        return counts

    def _end_wire(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.kill()
            wire.communicate()


@contextmanager
def _subnet() -> Iterator[int]:
    """A subnet that no other network of this machine uses: whoever holds its abstract socket has it."""
    numbers = list(range(_SUBNETS))
    random.SystemRandom().shuffle(numbers)
    for number in numbers:
        with socket.socket(socket.AF_UNIX) as claim:
            try:
                claim.bind(f"\0holdfast-testing-network-{number}")
            except OSError:
                continue
            yield number
            return
    raise FailedError("all networks for tests are in use")
