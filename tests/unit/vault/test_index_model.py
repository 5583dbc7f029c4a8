"""The index on disk beside a dictionary: whatever signers list, revoke and take back, and whatever footers say."""

from __future__ import annotations

from typing import NamedTuple

from blake3 import blake3
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from index_tables import PACK_BYTES, make_table, pack_id

from holdfast.ids import ChunkId, PackId
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import new_trial_vault
from holdfast.trust.signing import fingerprint
from holdfast.vault.access.members import admit_writer, revoke_signer
from holdfast.vault.format.packs import places_of
from holdfast.vault.format.records import IndexedPack, PackTable
from holdfast.vault.index import ChunkIndex, Located, write_index

CHUNKS = [ChunkId(bytes(8) + blake3(bytes([number])).digest()[8:]) for number in range(6)]  # with one prefix
TABLES = [
    make_table(CHUNKS[:3]),
    make_table(CHUNKS[2:5], bases={1: CHUNKS[0]}),
    make_table(list(reversed(CHUNKS))),
]
PACKS = [pack_id(number) for number in range(3)]
WRITERS = ["first", "second"]


class Version(NamedTuple):
    """A pack as somebody describes it."""

    table: int
    size: int

    @property
    def content(self) -> PackTable:
        return TABLES[self.table]


VERSIONS = st.sampled_from(
    [Version(0, PACK_BYTES), Version(1, PACK_BYTES), Version(2, PACK_BYTES), Version(0, PACK_BYTES + 1)]
)


class IndexBesideDictionary(RuleBasedStateMachine):
    """`listed`: index objects in the store. `loaded`: what counted of them at the last load. `told`: footers."""

    @initialize()
    def begin(self) -> None:
        self.trial = new_trial_vault(MemoryStore(), encrypted=False)
        self.writers = {name: admit_writer(self.trial.open().handle, name) for name in WRITERS}
        self.marks = {name: fingerprint(one.signer.public) for name, one in self.writers.items() if one.signer}
        self.revoked: set[str] = set()
        self.listed: dict[str, tuple[str, list[tuple[PackId, Version]]]] = {}
        self.loaded: dict[PackId, dict[Version, set[str]]] = {}
        self.told: dict[PackId, Version] = {}
        self.forgotten: set[PackId] = set()
        self.index = ChunkIndex.load(self.trial.store, self.trial.open().handle.keys)

    @rule(
        name=st.sampled_from(WRITERS),
        packs=st.dictionaries(st.sampled_from(PACKS), VERSIONS, min_size=1, max_size=3),
    )
    def list_packs(self, name: str, packs: dict[PackId, Version]) -> None:
        handle = self.trial.open(self.writers[name]).handle
        listed = [IndexedPack(bytes.fromhex(pack), one.size, one.content) for pack, one in packs.items()]
        key, data = write_index(handle.keys, listed, len(self.listed))
        self.trial.store.put(key, data)
        self.listed[key] = name, list(packs.items())

    @precondition(lambda self: self.listed)
    @rule(data=st.data())
    def lose_an_index_object(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.listed)))
        self.trial.store.delete(key)
        del self.listed[key]

    @rule(pack=st.sampled_from(PACKS), version=VERSIONS)
    def read_a_footer(self, pack: PackId, version: Version) -> None:
        self.index.add(pack, version.size, version.content)
        self.told[pack] = version
        self.forgotten.discard(pack)

    @rule(pack=st.sampled_from(PACKS))
    def forget(self, pack: PackId) -> None:
        self.index.forget_pack(pack)
        self.forgotten.add(pack)

    @rule(name=st.sampled_from(WRITERS))
    def revoke(self, name: str) -> None:
        if name not in self.revoked:
            revoke_signer(self.trial.open().handle, name)
            self.revoked.add(name)

    @rule()
    def load(self) -> None:
        keys = self.trial.open().handle.keys
        self.index = ChunkIndex.load(self.trial.store, keys, self.index)
        self._take_listed()
        assert any("revoked" in one.message for one in self.index.problems) == any(
            name in self.revoked for name, _ in self.listed.values()
        )
        disputed = sum(len(said) > 1 and pack not in self.told for pack, said in self.loaded.items())
        assert any(f"contradicts itself about {disputed} " in one.message for one in self.index.problems) == (
            disputed > 0
        )

    @rule()
    def lose_the_cache(self) -> None:
        self.index = ChunkIndex.load(self.trial.store, self.trial.open().handle.keys)
        self.told = {}
        self._take_listed()

    def _take_listed(self) -> None:
        self.forgotten = set()
        self.loaded = {}
        for name, packs in self.listed.values():
            if name not in self.revoked:
                for pack, version in packs:
                    self.loaded.setdefault(pack, {}).setdefault(version, set()).add(self.marks[name])

    def _known(self) -> dict[PackId, Version]:
        known = {pack: next(iter(said)) for pack, said in self.loaded.items() if len(said) == 1} | self.told
        return {pack: version for pack, version in known.items() if pack not in self.forgotten}

    @invariant()
    def they_agree(self) -> None:
        known = self._known()
        expected: dict[ChunkId, set[Located]] = {chunk: set() for chunk in CHUNKS}
        for pack, version in known.items():
            for chunk, place in places_of(version.content, 0, "packs/x"):
                expected[chunk].add(Located(pack, version.size, place))
        for chunk, places in expected.items():
            found = self.index.places(chunk)
            assert len(found) == len(places) and set(found) == places
            assert self.index.find(chunk) == (found[0] if found else None)
        assert self.index.packs() == {pack: version.size for pack, version in known.items()}
        assert len(self.index) == sum(len(version.content.codec) for version in known.values())
        for pack in PACKS:
            version = known.get(pack)
            assert self.index.table(pack) == (version.content if version else None)
            assert self.index.size_of(pack) == (version.size if version else None)
            signers = {""} if pack in self.told or version is None else self.loaded[pack][version]
            assert self.index.signer_of(pack) in signers
        listed = {pack for pack, version in known.items() if version in self.loaded.get(pack, {})}
        assert self.index.listed() == listed


IndexBesideDictionary.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestIndexBesideDictionary = IndexBesideDictionary.TestCase
