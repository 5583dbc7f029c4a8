"""What each site of a set of stripes lacks, and what would be gone with it: by listings alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.replication.striping.owing import walk_whole
from holdfast.replication.striping.store import StripedStore
from holdfast.vault.format.names import CONFIG, INDEX, PACKS

__all__ = ["Lacks", "Survey", "survey_stripes"]

_EVERYBODYS = (CONFIG, INDEX)  # without these no snapshot is readable


@dataclass
class Lacks:
    """One site. `problem`: why it is not used, empty where it is. `packs`: how many have no shard there (small ones:
    no copy); `objects`: how many others lack there. Of a site that is not used both are what it would have to be asked
    about, and are 0.
    """

    problem: str = ""
    packs: int = 0
    objects: int = 0


@dataclass
class Survey:
    """`packs`: keys of all that can be put together now. `fragments`: how many cannot, of those that any site lists.

    `lost_with`: position → keys that nobody could read any more if that site were lost now. Sites that do not answer
    count as lost already.
    """

    k: int
    home: int
    lacks: list[Lacks]
    usable: frozenset[int]
    packs: set[str] = field(default_factory=set)
    objects: int = 0
    fragments: int = 0
    lost_with: dict[int, set[str]] = field(default_factory=dict)

    def is_readable_without(self, position: int) -> bool:
        """Whether enough sites would be left to read anything at all."""
        enough = len(self.usable - {position}) >= self.k
        return enough and not any(key.startswith(_EVERYBODYS) for key in self.lost_with[position])

    def packs_without(self, position: int) -> set[str]:
        """Keys of the packs that the others give."""
        lost = self.lost_with[position]
        return self.packs - lost if lost else self.packs


def survey_stripes(store: StripedStore) -> Survey:
    """Reads listings only. Raises StoreUnreachableError, DamageError (fewer than k sites), NotFoundError (no set)."""
    sites = store.sites
    sites.forget()
    layout = sites.layout
    ready = frozenset(member.position for member in sites.ready())
    lacks = [Lacks(member.trouble or "holds nothing of the set" * member.vacant) for member in sites.members]
    usable = frozenset(one for one in ready if not sites.members[one].vacant)
    found = Survey(layout.k, layout.home, lacks, usable)
    found.lost_with = {member.position: set() for member in sites.members}
    for key, copies in walk_whole(store):
        if not copies.good:
            continue
        is_pack = key.startswith(PACKS)
        if is_pack:
            found.packs.add(key)
        else:
            found.objects += 1
        for position in ready - copies.good.keys():
            lacks[position].packs += is_pack
            lacks[position].objects += not is_pack
        if len(copies.good) == 1:
            found.lost_with[next(iter(copies.good))].add(key)
    for key, seen in store.packs.walk():
        if not seen.is_whole:
            found.fragments += key not in found.packs
            continue
        found.packs.add(key)
        for position in ready - seen.shards.keys():
            lacks[position].packs += 1
        if len(seen.shards) == seen.cut.k:
            for position in seen.shards:
                found.lost_with[position].add(key)
    return found
