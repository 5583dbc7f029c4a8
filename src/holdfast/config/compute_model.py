"""`compute` of a site in `holdfast.yaml`, what computes there, and `service` of an asset: what is run on it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from holdfast.config.section import Section
from holdfast.config.words import Duration, FilePath, HourlyPrice, Name, Reference, Text

__all__ = ["BUILT_KINDS", "Compute", "ComputeKind", "Health", "Service", "Stopping", "Traffic"]

ComputeKind = Literal["local", "slurm", "kubernetes", "skypilot"]
BUILT_KINDS: tuple[ComputeKind, ...] = ("local", "slurm")

Count = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Signal = Literal["TERM", "INT", "HUP", "USR1", "USR2", "QUIT"]


class Compute(Section, frozen=True, kw_only=True):
    """Machines of one `shape` at a site; a site with several shapes lists them.

    `machines`: so many there are (`local`: slots of this machine), or at most so many are taken (`slurm`; 0: all).
    `ready`: of these so many stand there for recoveries. `getting`: how long it takes until one that is free runs, as
    long as nobody measured it. `partition`, `gres`, `account`, `qos`: as Slurm has them. `gpus` of one machine, and
    `price_per_hour` of one, in the currency of the price book: what evidence counts GPU-hours and money by.
    """

    kind: ComputeKind
    shape: Name
    machines: Count = 0
    ready: Count = 0
    getting: Duration | None = None
    partition: Text = ""
    gres: Text = ""
    account: Text = ""
    qos: Text = ""
    gpus: Count | None = None
    price_per_hour: HourlyPrice | None = None

    @property
    def gpus_of_gres(self) -> int | None:
        """GPUs of one machine as `gres` asks for them (`gpu:8`, `gpu:h100:8`; Slurm's `--gres` is for each node);
        None where it asks for none, or does not say how many.
        """
        found = [one.split("(")[0].split(":") for one in self.gres.split(",") if one.split(":")[0] == "gpu"]
        counts = [one[-1] for one in found if len(one) > 1]
        if not counts or len(counts) < len(found) or not all(one.isascii() and one.isdigit() for one in counts):
            return None
        return sum(int(one[:6]) for one in counts)


class Stopping(Section, frozen=True, kw_only=True):
    """How a service is ended: by a `signal`, and by force after `within`; or by a `command`, where it was started by
    hand.
    """

    signal: Signal = "TERM"
    within: Duration = 60.0
    command: tuple[Text, ...] = ()


class Health(Section, frozen=True, kw_only=True):
    """When a service is good: its `url` answers 200, its `command` ends with 0, or its `heartbeat` (a file; a relative
    path counts from {target}) changes, and changed less than `fresh` ago. One of the three; without, it is good as
    long as it runs. `times` good answers in a row are needed, `every` so often; all of it `within`.
    """

    url: Text = ""
    command: tuple[Text, ...] = ()
    heartbeat: FilePath = ""
    fresh: Duration = 30.0
    times: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    every: Duration = 1.0
    within: Duration = 900.0


class Traffic(Section, frozen=True, kw_only=True):
    """How traffic is sent to a site: a `file` that a proxy reads; a `command` with {site}, and `show`, a command that
    prints the site that gets it now; or a `webhook`, signed with `secret`. One of the three.
    """

    file: FilePath = ""
    command: tuple[Text, ...] = ()
    show: tuple[Text, ...] = ()
    webhook: Text = ""
    secret: Reference | None = None


class Service(Section, frozen=True, kw_only=True):
    """What runs with an asset, once on each of its `machines`; `least`: with so many it may run at all (0: all).

    `shapes`: those that will do, the best first. `command`: no shell in between; {target} is the folder with the data,
    {site}, {asset}, {run}, {machines} (how many) and {machine} (which, from 0 on) are filled in. `folder`: where it is
    started, by default {target}.
    """

    command: tuple[Text, ...]
    shapes: tuple[Name, ...]
    machines: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1
    least: Count = 0
    folder: FilePath = ""
    stop: Stopping = Stopping()
    health: Health = Health()
    traffic: Traffic | None = None
    standby: dict[Name, FilePath] = {}
