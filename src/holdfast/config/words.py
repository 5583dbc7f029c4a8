"""The small values of `holdfast.yaml`: what a person writes as one word, and what the program calculates with.

Durations are seconds, rates are bytes per second. `values.py` reads them, and says how they are written.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

__all__ = ["Cloud", "Tier", "Duration", "Rate", "Price", "Dscp", "Name", "AssetName", "Jurisdiction", "Text", "Url"]
__all__ += ["HourlyPrice"]
__all__ += ["Day", "Clock", "Stripes", "Home", "Reference", "Zone", "Strategy", "Level", "FilePath", "Version"]
__all__ += ["Sites", "Priority", "ComponentName", "Approvers"]


def _word(kind: str) -> msgspec.Meta:
    return msgspec.Meta(extra={"word": kind})


class Cloud(StrEnum):
    """Whose machines a site's are."""

    AWS = "aws"
    GCP = "gcp"
    AZURE = "azure"
    ONPREM = "onprem"


class Tier(StrEnum):
    """How soon, and at which price, a store gives back what it holds: from the fastest to the cheapest."""

    HOT = "hot"
    WARM = "warm"
    COLD = "cold"


class Day(StrEnum):
    """Of the week."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


Duration = Annotated[float, _word("duration")]  # seconds
Rate = Annotated[float, _word("rate")]  # bytes per second
Price = Annotated[float, _word("price")]  # money per 10^9 bytes
HourlyPrice = Annotated[float, _word("hourly price")]  # money for one machine and hour
Dscp = Annotated[int, _word("dscp")]  # 0 to 63
Name = Annotated[str, _word("name")]  # of a site, class, link, recovery, drill
AssetName = Annotated[str, _word("asset name")]
Jurisdiction = Annotated[str, _word("jurisdiction")]
Text = Annotated[str, _word("text")]
FilePath = Annotated[str, _word("path")]
Url = Annotated[str, _word("url")]
Zone = Annotated[str, _word("zone")]  # of the IANA data base
Clock = Annotated[int, _word("clock")]  # minutes since midnight, 0 to 1440
ComponentName = Annotated[str, _word("component")]  # of a checkpoint: weights, optimizer, …
Sites = Annotated[int, msgspec.Meta(ge=1, le=64)]  # how many
Priority = Annotated[int, msgspec.Meta(ge=0, le=9)]
Approvers = Annotated[int, msgspec.Meta(ge=0, le=9)]
Version = Literal[1]
Strategy = Literal["BACKUP_AND_RESTORE", "PILOT_LIGHT", "WARM_STANDBY", "HOT_STANDBY", "CLOUD_BURST"]
Level = Literal["tabletop", "component", "simulation", "functional"]


class Stripes(msgspec.Struct, frozen=True):
    """`2+1`: `k` sites hold a pack's parts, `m` more hold parity; any `m` may be lost."""

    k: int
    m: int

    @property
    def n(self) -> int:
        """Sites in all."""
        return self.k + self.m

    def __str__(self) -> str:
        return f"{self.k}+{self.m}"


class Home(msgspec.Struct, frozen=True):
    """`use1` or `use1/hot`: the store at which snapshots of an asset are committed first."""

    site: str
    tier: Tier | None = None

    def __str__(self) -> str:
        return self.site if self.tier is None else f"{self.site}/{self.tier}"


class Reference(msgspec.Struct, frozen=True):
    """Where a secret is, never what it is: `${NAME}` of the environment, or `file:PATH`.

    A relative path counts from the folder of the file that names it. `references.py` resolves it, where it is used.
    """

    kind: Literal["environment", "file"]
    name: str

    def __str__(self) -> str:
        return f"${{{self.name}}}" if self.kind == "environment" else f"file:{self.name}"
