"""The test vectors of docs/format, read out of the pages: the independent reader and the package agree with them."""

from __future__ import annotations

import json
import os
import re
import struct
import unicodedata
from pathlib import Path

import independent_reader
import pytest
from blake3 import blake3

from holdfast.ids import PackId, PartId, is_snapshot_id, new_snapshot_id, snapshot_time_ms
from holdfast.vault.codecs import decode
from holdfast.vault.format.documents import read_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys, plain_key
from holdfast.vault.format.names import pack_key, part_key
from holdfast.vault.format.packs import PackBuilder, PackOpener, places_of, preamble_bytes
from holdfast.vault.format.records import Config, Entry, Part, decode_record, encode_record
from holdfast.vault.regions.model import Element
from holdfast.vault.regions.model import Kind as ElementKind
from holdfast.vault.snapshots.manifests import check_part

TESTS = Path(__file__).parents[1]
PAGES = TESTS.parent / "docs" / "format"
PAGE = (PAGES / "vault-1.md").read_text(encoding="utf-8").partition("## Test vectors")[2]
TRUST = TESTS / "fixtures" / "trust"

CHUNK_ID_KEY, VAULT = bytes(range(32)), bytes.fromhex("00112233445566778899aabbccddeeff")
KINDS = {"opaque": 0, "integer": 1, "float": 2}
CHUNK, FLOATS, NEXT_FLOATS = b"holdfast", struct.pack("<2f", 1, -2.5), bytes.fromhex("0100803f 000020c0")


def named_values(page: str) -> dict[str, str]:
    """The rows of the page's tables of two columns whose second one is one code span."""
    return dict(re.findall(r"^\| (.+?) \| `([^`]+)` \|$", page, re.MULTILINE))


def annotated(kind: str) -> bytes:
    """The bytes in the left column of a fenced block."""
    [block] = re.findall(rf"^```object {kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    rows = [re.match(r"(?:[0-9a-f]{2}(?: |$))+", line) for line in block.splitlines()]
    assert all(rows), "a row does not begin with bytes"
    return b"".join(bytes.fromhex(row[0]) for row in rows if row)


VALUES = named_values(PAGE)
SNAPSHOT_ID = next(value for name, value in VALUES.items() if name.startswith("snapshot id"))
PART_ID, PACK_ID = VALUES["id of the part below"], VALUES["id of the pack below"]
PART = Part(
    "other",
    [
        Entry(
            path=b"a.txt",
            type="file",
            mode=0o644,
            mtime=1_700_000_000_000_000_000,
            size=12,
            runs=[(8, 0, 1, 1), (4, 3, 1, 0)],
            chunks=bytes.fromhex(VALUES["chunk id of the 8 bytes `holdfast`"]),
            lengths=struct.pack("<I", 8),
        )
    ],
)


class PlainVault(independent_reader.Vault):
    """The independent reader in a plain vault without a configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.id, self.config = folder, VAULT, {"suite": 0}
        self.chunk_id_key, self.blobs = CHUNK_ID_KEY, {}


@pytest.fixture
def keys() -> VaultKeys:
    config = Config(1, 0, 0, [], CHUNK_ID_KEY + bytes(32), [])
    return VaultKeys(VAULT, config, CHUNK_ID_KEY, bytes(32), {}, None, "anyone", "reader")


@pytest.mark.parametrize("purpose", ["chunk", "part", "name"])
def test_subkeys(purpose: str) -> None:
    subkey = independent_reader.subkey(CHUNK_ID_KEY, purpose.encode())
    assert subkey.hex() == VALUES[f"subkey `{purpose}`"]


def test_names(keys: VaultKeys) -> None:
    asked = {"asset": (("llama", "größe"), keys.names.asset_key), "ref": (("latest",), keys.names.ref_key)}
    for what, (names, key_by_the_package) in asked.items():
        for name in names:
            [expected] = (value for row, value in VALUES.items() if row.startswith(f"{what} key of `{name}`"))
            assert independent_reader.key_of_name(CHUNK_ID_KEY, what.encode(), name) == expected
            assert key_by_the_package(name) == key_by_the_package(unicodedata.normalize("NFD", name)) == expected


def test_chunk_id_and_plain_key(keys: VaultKeys) -> None:
    expected = VALUES["chunk id of the 8 bytes `holdfast`"]
    assert blake3(CHUNK, key=independent_reader.subkey(CHUNK_ID_KEY, b"chunk")).hexdigest() == expected
    assert keys.names.chunk_id(CHUNK).hex() == expected
    assert plain_key(VAULT).hex() == VALUES["plain key"]


def test_snapshot_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", lambda count: bytes(range(count)))
    made = new_snapshot_id(1_700_000_000_000 * 1_000_000)
    assert made == SNAPSHOT_ID
    assert is_snapshot_id(made)
    assert snapshot_time_ms(made) == 1_700_000_000_000


def test_the_package_reads_the_part(keys: VaultKeys) -> None:
    key = part_key(PartId(PART_ID))
    body = read_document(keys, Kind.PART, key, annotated("parts")).body
    assert keys.names.part_id(body) == PART_ID
    assert decode_record(body, Part, key) == PART
    assert encode_record(PART) == body
    check_part(PART, key)


def test_the_independent_reader_reads_the_part(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / PART_ID).write_bytes(annotated("parts"))
    record, packed, _ = PlainVault(tmp_path).read_document(f"parts/{PART_ID}", b"M", set())
    assert blake3(packed, key=independent_reader.subkey(CHUNK_ID_KEY, b"part")).hexdigest() == PART_ID
    [entry] = record["entries"]
    assert record == {"component": PART.component, "entries": [entry]}
    assert entry["runs"] == [list(run) for run in PART.entries[0].runs]
    rest = {name: getattr(PART.entries[0], name) for name in entry if name != "runs"}
    assert {name: value for name, value in entry.items() if name != "runs"} == rest


def test_the_package_reads_the_pack(keys: VaultKeys) -> None:
    data, start = annotated("packs"), preamble_bytes(0)
    opener = PackOpener(keys, PackId(PACK_ID), data[:start])
    footer = int.from_bytes(data[-12:-8], "little")
    (first, place), (second, delta) = places_of(opener.open_footer(data[-16 - footer :]), 0, pack_key(PackId(PACK_ID)))
    assert keys.names.chunk_id(FLOATS) == first == delta.base
    assert keys.names.chunk_id(NEXT_FLOATS) == second
    base = opener.open_blob(place.number, first, data[place.offset : place.offset + place.stored])
    payload = opener.open_blob(delta.number, second, data[delta.offset : delta.offset + delta.stored])
    assert decode(place.codec, place.element, base, place.raw, None) == FLOATS
    assert decode(delta.codec, delta.element, payload, delta.raw, FLOATS) == NEXT_FLOATS


def test_the_package_writes_the_pack(keys: VaultKeys) -> None:
    element, payload = Element(ElementKind.FLOAT, 4), bytes([0, 2, 0, 0, 0] * 4 + [2] + [0] * 7)
    first, second = keys.names.chunk_id(FLOATS), keys.names.chunk_id(NEXT_FLOATS)
    builder = PackBuilder(keys, 1 << 10)
    builder.add(first, FLOATS, raw=8, codec=0, element=element)
    builder.add(second, payload, raw=8, codec=3, element=element, base=first)
    pack = builder.finish()
    assert bytes(pack.data) == annotated("packs")
    assert (pack.id, pack.key) == (PACK_ID, f"packs/{PACK_ID[:2]}/{PACK_ID}")


def test_the_independent_reader_reads_the_pack(tmp_path: Path) -> None:
    (tmp_path / PACK_ID).write_bytes(annotated("packs"))
    assert blake3(annotated("packs")).hexdigest() == PACK_ID
    vault = PlainVault(tmp_path)
    vault.blobs = {blob[0]: blob[1:] for blob in vault.read_pack(tmp_path / PACK_ID)}
    assert [vault.read_chunk(chunk_id) for chunk_id in vault.blobs] == [FLOATS, NEXT_FLOATS]


def codec_vectors() -> list[dict[str, str]]:
    blocks = re.findall(r"^```vector\n(.*?)^```$", (PAGES / "codecs.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks, "the page shows no vector in the form that this test knows"
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


@pytest.mark.parametrize("vector", codec_vectors(), ids=lambda vector: f"{vector['codec']}-{vector['element']}")
def test_the_independent_reader_decodes_the_vectors_of_the_codecs(vector: dict[str, str]) -> None:
    kind, width = vector["element"].split()
    raw, payload, base = (bytes.fromhex(vector.get(name, "")) for name in ("raw", "payload", "base"))
    decoded = independent_reader.decode(int(vector["codec"]), payload, len(raw), KINDS[kind], int(width), base)
    assert decoded == raw


def test_the_independent_reader_agrees_with_the_vectors_of_the_keys() -> None:
    sealing, signing, blobs = (
        {key: bytes.fromhex(value) for key, value in json.loads((TRUST / f"{name}.json").read_text()).items()}
        for name in ("sealing", "signing", "blobs")
    )
    assert independent_reader.open_key(sealing["private"], sealing["sealed"], sealing["info"]) == sealing["key"]
    assert independent_reader.unwrap(sealing["private"], sealing["wrapped"], sealing["info"]) == sealing["secret"]
    assert independent_reader.fingerprint(signing["public"]) == signing["fingerprint"].hex()
    independent_reader.verify(signing["public"], signing["signature"], signing["message"])
    for suite, sealed in ((0, "plain"), (1, "aes_gcm")):
        nonce = int.from_bytes(blobs["nonce"], "big")
        data = independent_reader.open_blob(suite, blobs["key"], nonce, blobs[sealed], blobs["aad"])
        assert data == blobs["data"]
