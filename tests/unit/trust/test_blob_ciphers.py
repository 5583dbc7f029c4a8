"""Both ciphers for blobs behave alike in sizes, errors and under threads; each does what its suite promises."""

from __future__ import annotations

import mmap
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.errors import DamageError, RefusedError, UnsupportedFormatError, UsageError
from holdfast.trust.aead import AesGcmCipher, BlobCipher, PlainCipher, new_cipher
from holdfast.trust.suites import Suite, suite_of

KEY = bytes(range(32))
AAD = b"header of a pack"
DATA = b"some weights" * 100


@pytest.fixture(params=list(Suite), ids=lambda suite: suite.name)
def cipher(request: pytest.FixtureRequest) -> BlobCipher:
    return new_cipher(request.param, KEY)


def test_suites_have_their_numbers_and_ciphers() -> None:
    assert [suite_of(number) for number in range(3)] == [Suite.PLAIN, Suite.HYBRID_1, Suite.HYBRID_2]
    assert type(new_cipher(Suite.PLAIN, KEY)) is PlainCipher
    assert type(new_cipher(Suite.HYBRID_1, KEY)) is type(new_cipher(Suite.HYBRID_2, KEY)) is AesGcmCipher
    with pytest.raises(UnsupportedFormatError, match="suite 3"):
        suite_of(3)


@pytest.mark.parametrize("data", [b"", b"x", DATA])
@pytest.mark.parametrize("nonce", [0, 1, 2**96 - 1])
def test_round_trip(cipher: BlobCipher, data: bytes, nonce: int) -> None:
    sealed = cipher.seal(nonce, data, AAD)
    assert len(sealed) == len(data) + 16
    assert cipher.open(nonce, sealed, AAD) == data


def test_writing_into_a_longer_buffer_touches_no_more_than_it_says(cipher: BlobCipher) -> None:
    room = bytearray(b"\xee" * (len(DATA) + 20))
    written = cipher.seal_into(7, DATA, AAD, memoryview(room))
    assert written == len(DATA) + 16
    assert room[:written] == cipher.seal(7, DATA, AAD)
    assert room[written:] == b"\xee" * 4
    opened = bytearray(b"\xee" * (len(DATA) + 3))
    assert cipher.open_into(7, memoryview(room)[:written], AAD, memoryview(opened)) == len(DATA)
    assert opened == DATA + b"\xee" * 3


def test_buffers_of_wider_elements_count_in_bytes(cipher: BlobCipher) -> None:
    numbers = np.arange(12, dtype=np.float32).reshape(3, 4)
    target = np.zeros(12 + 4, dtype=np.float32)
    written = cipher.seal_into(1, numbers.data, AAD, target.data)
    assert written == 12 * 4 + 16
    assert cipher.open(1, target.data, AAD) == numbers.tobytes()


@pytest.mark.parametrize("place", ["data", "tag", "aad", "nonce", "cut", "longer", "key"])
def test_any_change_is_damage(cipher: BlobCipher, place: str) -> None:
    sealed, nonce, aad = bytearray(cipher.seal(7, DATA, AAD)), 7, AAD
    if place == "data":
        sealed[5] ^= 1
    elif place == "tag":
        sealed[-1] ^= 1
    elif place == "aad":
        aad += b"\0"
    elif place == "nonce":
        nonce = 8
    elif place == "cut":
        sealed.pop()
    elif place == "longer":
        sealed += b"\0"
    else:
        cipher = type(cipher)(bytes(32))  # type: ignore[call-arg]  # a protocol says nothing of constructors
    room = memoryview(bytearray(len(sealed)))
    with pytest.raises(DamageError, match=f"nonce {nonce} "):
        cipher.open(nonce, sealed, aad)
    with pytest.raises(DamageError, match=f"nonce {nonce} "):
        cipher.open_into(nonce, sealed, aad, room)


@pytest.mark.parametrize("length", [0, 15])
def test_less_than_a_tag_is_damage(cipher: BlobCipher, length: int) -> None:
    with pytest.raises(DamageError, match="shorter than its tag"):
        cipher.open(0, bytes(length), AAD)
    with pytest.raises(DamageError, match="shorter than its tag"):
        cipher.open_into(0, bytes(length), AAD, memoryview(bytearray(8)))


def test_the_plain_tag_separates_aad_from_data() -> None:
    """Bytes moved from the end of the associated data to the start of the data must not give the same tag."""
    cipher = PlainCipher(KEY)
    assert cipher.seal(0, b"bc", b"a")[-16:] != cipher.seal(0, b"c", b"ab")[-16:]


def test_a_wrong_call_is_named_as_such(cipher: BlobCipher) -> None:
    for nonce in (-1, 2**96):
        with pytest.raises(UsageError, match="nonce"):
            cipher.seal(nonce, DATA, AAD)
    with pytest.raises(UsageError, match="room for 1216 bytes"):
        cipher.seal_into(0, DATA, AAD, memoryview(bytearray(len(DATA) + 15)))
    with pytest.raises(UsageError, match="writable"):
        cipher.seal_into(0, DATA, AAD, memoryview(bytes(len(DATA) + 16)))
    with pytest.raises(UsageError, match="room"):
        cipher.open_into(0, cipher.seal(0, DATA, AAD), AAD, memoryview(bytearray(len(DATA) - 1)))
    with pytest.raises(UsageError, match="contiguous"):
        cipher.seal(0, memoryview(DATA)[::2], AAD)


def test_two_gibibytes_are_too_much_for_one_blob(cipher: BlobCipher) -> None:
    with mmap.mmap(-1, 2**31) as untouched:  # address space, no memory
        view = memoryview(untouched)
        with pytest.raises(UsageError, match="smaller than 2 GiB"):
            cipher.seal(0, view, AAD)
        with pytest.raises(DamageError, match="larger than any blob"):
            cipher.open(0, view, AAD)
        view.release()


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
@pytest.mark.parametrize("suite", list(Suite))
def test_keys_have_32_bytes(suite: Suite, size: int) -> None:
    with pytest.raises(UsageError, match=f"32 bytes, not {size}"):
        new_cipher(suite, bytes(size))


def test_threads_share_one_cipher(cipher: BlobCipher) -> None:
    blobs = [bytes([number]) * 50_000 for number in range(32)]
    alone = [cipher.seal(number, blob, AAD) for number, blob in enumerate(blobs)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda number: cipher.seal(number, blobs[number], AAD), range(32)))
        opened = list(pool.map(lambda number: cipher.open(number, together[number], AAD), range(32)))
    assert together == alone
    assert opened == blobs


def test_aes_is_aes_256_gcm_with_the_nonce_in_big_endian() -> None:
    sealed = AesGcmCipher(KEY).seal(258, DATA, AAD)
    assert sealed == AESGCM(KEY).encrypt(bytes(10) + b"\x01\x02", DATA, AAD)


def test_plain_is_the_data_in_clear_and_a_keyed_blake3() -> None:
    sealed = PlainCipher(KEY).seal(258, DATA, AAD)
    bound = bytes(10) + b"\x01\x02" + len(AAD).to_bytes(8, "little") + AAD
    assert sealed == DATA + blake3(bound + DATA, key=KEY).digest()[:16]


def test_a_cipher_is_neither_shown_nor_pickled(cipher: BlobCipher) -> None:
    assert repr(cipher) in ("<PlainCipher>", "<AesGcmCipher>")
    with pytest.raises(RefusedError):
        pickle.dumps(cipher)
