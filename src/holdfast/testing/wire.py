"""The wires between the sites of `holdfast.testing.networks`: a process that carries IP packets from device to device.

It delays, loses and drops as it is told. In user space, because not every kernel has netem; the clocks and queues
are the same everywhere. Started as ``python -m holdfast.testing.wire SPECIFICATION``; orders come on stdin, one JSON
document a line, each answered by one line. When stdin ends (its parent died), so does it, and its devices with it.
"""

from __future__ import annotations

import json
import os
import select
import sys
from collections import deque
from contextlib import suppress
from random import Random
from typing import Any

from holdfast.clock import SYSTEM_CLOCK

__all__ = ["main"]

_PACKET_BYTES_MAX = 65_535
_BATCH = 64  # packets read from one device before the others get their turn


class _Way:
    """One direction of one link: packets of `source` that go to `target`, each at its time."""

    def __init__(self, source: int, target: int, random: Random) -> None:
        self.source, self.target = source, target
        self.random = random
        self.up, self.delay_s, self.jitter_s, self.loss, self.bytes_per_s, self.queue_s = True, 0.0, 0.0, 0.0, 0.0, 0.1
        self.counts = {"packets": 0, "bytes": 0, "lost": 0, "dropped": 0}
        self.on_the_way: deque[tuple[float, bytes]] = deque()
        self._free_at = 0.0  # when the last bit of the packets so far has been put onto the line
        self._latest = 0.0  # no packet overtakes another one

    def take(self, packet: bytes, now: float) -> None:
        """A packet that was sent `now`."""
        if not self.up or (self.loss and self.random.random() < self.loss):
            self.counts["lost"] += 1
            return
        due = now
        if self.bytes_per_s:
            begin = max(self._free_at, now)
            if begin - now > self.queue_s:
                self.counts["dropped"] += 1  # as a router does whose queue is full
                return
            due = self._free_at = begin + len(packet) / self.bytes_per_s
        due += self.delay_s + (self.random.uniform(0, self.jitter_s) if self.jitter_s else 0.0)
        self._latest = max(self._latest, due)
        if due <= now and not self.on_the_way:
            self._give(packet)
        else:
            self.on_the_way.append((self._latest, packet))

    def deliver(self, now: float) -> None:
        """Hand out everything that has arrived by `now`."""
        while self.on_the_way and self.on_the_way[0][0] <= now:
            packet = self.on_the_way.popleft()[1]
            if self.up:  # what is on a line that is cut is gone
                self._give(packet)
            else:
                self.counts["lost"] += 1

    def _give(self, packet: bytes) -> None:
        try:
            os.write(self.target, packet)
        except OSError:  # the device's queue is full, or the device is gone
            self.counts["dropped"] += 1
        else:
            self.counts["packets"] += 1
            self.counts["bytes"] += len(packet)

    def set(self, conditions: dict[str, Any]) -> None:
        """Change what is named."""
        for name, value in conditions.items():
            setattr(self, name, value)


def main(arguments: list[str]) -> int:
    """`arguments[0]`: JSON ``{"seed": N, "links": [[descriptor, descriptor], …]}``."""
    specification = json.loads(arguments[0])
    random = Random(specification["seed"])
    links = [(_Way(one, other, random), _Way(other, one, random)) for one, other in specification["links"]]
    ways = {way.source: way for link in links for way in link}
    orders = b""
    monotonic = SYSTEM_CLOCK.monotonic
    sources = [0, *ways]
    while True:
        pending = [way.on_the_way[0][0] for way in ways.values() if way.on_the_way]
        # select(2) waits with microseconds, epoll_wait(2) with milliseconds only.
        ready, _, _ = select.select(sources, [], [], max(0.0, min(pending) - monotonic()) if pending else None)
        now = monotonic()
        for each in ready:
            if each == 0:
                received = os.read(0, 1 << 16)
                if not received:
                    return 0
                *lines, orders = (orders + received).split(b"\n")
                for line in lines:
                    _answer(_carried_out(links, json.loads(line)))
                continue
            way = ways[each]
            with suppress(BlockingIOError):
                for _ in range(_BATCH):
                    way.take(os.read(each, _PACKET_BYTES_MAX), now)
        now = monotonic()
        for way in ways.values():
            way.deliver(now)


def _carried_out(links: list[tuple[_Way, _Way]], order: dict[str, Any]) -> dict[str, Any]:
    for number in order["links"]:
        for way in links[number]:
            way.set(order["set"])
    return {"counts": [[way.counts for way in links[number]] for number in order["links"]]}


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
