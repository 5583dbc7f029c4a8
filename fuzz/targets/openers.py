"""Recipient files, key shares, URIs of keys in key services, and what these wrapped."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from fuzz.model import Broken, Target
from holdfast.errors import HoldfastError, StoreUnreachableError, WrongKeyError
from holdfast.trust.aead import AesGcmCipher
from holdfast.trust.kms.port import Binding, KeyService, KeyUri, kms_label, parse_key_uri
from holdfast.trust.kms.services import KeyServices, kms_recipient, unwrap_with_kms
from holdfast.trust.recipient_file import RecipientFile, decode_recipient_file, encode_recipient_file
from holdfast.trust.recipients import Recipient, recipient_id
from holdfast.trust.sealing import SealingKey, open_key, seal_key
from holdfast.trust.shares import combine_shares, decode_share, encode_share, split_key
from holdfast.trust.signing import SigningKey, fingerprint, verify
from holdfast.trust.suites import Suite

__all__ = ["TARGETS"]

_VAULT, _KEEPER, _INFO = "00112233445566778899aabbccddeeff", "ee59477150fda53cf32b50538a6c9f57", b"holdfast fuzz\0"
_URI = "aws-kms://eu-central-1/alias/holdfast"
_BINDING = Binding(_VAULT, 1)
_LARGE = SealingKey.from_seed(bytes(32), Suite.HYBRID_2)


def _recipient_file(data: bytes) -> None:
    """As it is, and with its id made right: who edits the file can do that too."""
    try:
        record = msgspec.json.decode(data, type=RecipientFile)
        data = msgspec.json.encode(msgspec.structs.replace(record, id=recipient_id(record.public)))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    record = decode_recipient_file(data, "x")
    again = decode_recipient_file(encode_recipient_file(record.vault, record.label, record.public), "x")
    if again != record:
        raise Broken("a recipient file does not give itself")


def _share(data: bytes) -> None:
    share = decode_share(data, "x")
    if encode_share(decode_share(encode_share(share), "x")) != encode_share(share):
        raise Broken("a share does not give itself")
    repr(share)
    with suppress(HoldfastError):  # one does not open
        combine_shares([share])


def _share_seeds() -> list[bytes]:
    split = split_key(_VAULT, "glass", _KEEPER, shares=3, threshold=2, suite=Suite.HYBRID_1)
    return [encode_share(share) for share in split.shares]


class _Held:
    """A key service that is not asked over a network."""

    def __init__(self, uri: KeyUri) -> None:
        self.uri = uri

    def wrap(self, key32: bytes, binding: Binding) -> bytes:
        return AesGcmCipher(bytes(32)).seal(0, key32, binding.as_octets())

    def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        try:
            return AesGcmCipher(bytes(32)).open(0, wrapped, binding.as_octets())
        except HoldfastError:
            raise WrongKeyError("another key") from None


def _make(uri: KeyUri) -> KeyService:
    if uri.scheme != "aws-kms":
        raise StoreUnreachableError(f"{uri.text} is not asked here")
    return _Held(uri)


def _by_service(data: bytes) -> None:
    try:
        recipient = msgspec.msgpack.decode(data, type=Recipient)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return
    unwrap_with_kms(recipient, KeyServices(maker=_make), _INFO, _BINDING)


def _by_service_seeds() -> list[bytes]:
    made = kms_recipient(KeyServices(maker=_make), _URI, "cloud", bytes(112), _INFO, _BINDING)
    return [msgspec.msgpack.encode(made)]


def _key_uri(data: bytes) -> None:
    uri = parse_key_uri(data.decode("utf-8", "surrogateescape"))
    if parse_key_uri(uri.text) != uri or not kms_label(uri).isascii():
        raise Broken("a key URI does not give itself")


def _second_suite(data: bytes) -> None:
    """First byte: open with a key, seal to the public key that follows, a private key, a signature, or a seed."""
    kind, rest = data[:1], data[1:]
    if kind == b"\1":
        seal_key(rest, bytes(32), _INFO)
    elif kind == b"\2":
        SealingKey.from_bytes(rest)
    elif kind == b"\3":
        fingerprint(rest[:2624])
        verify(rest[:2624], b"message", rest[2624:])
    elif kind == b"\4":
        key = SealingKey.from_seed(rest, Suite.HYBRID_2)
        if SealingKey.from_bytes(key.to_bytes()) != key or key != SealingKey.from_seed(rest, Suite.HYBRID_2):
            raise Broken("a seed does not give one key")
    else:
        open_key(_LARGE, rest, _INFO)


def _second_suite_seeds() -> list[bytes]:
    signer = SigningKey(bytes(64), Suite.HYBRID_2)
    return [
        b"\0" + seal_key(_LARGE.public, bytes(32), _INFO),
        b"\1" + _LARGE.public,
        b"\2" + _LARGE.to_bytes(),
        b"\3" + signer.public + signer.sign(b"message"),
        b"\4" + bytes(range(32)),
    ]


TARGETS = [
    Target(
        "recipient-file",
        "`decode_recipient_file`, also behind its id",
        _recipient_file,
        lambda: [encode_recipient_file(_VAULT, "dr-site", key.public) for key in (SealingKey(bytes(96)), _LARGE)],
        (b'"label"', b"null", b"[" * 500),
    ),
    Target(
        "key-share",
        "`decode_share`, `combine_shares`",
        _share,
        _share_seeds,
        (b"threshold: 2", b"share: 1", b"academic ", b"\r\n"),
    ),
    Target("kms-recipient", "`unwrap_with_kms` (no service is asked)", _by_service, _by_service_seeds, (b"kms",)),
    Target(
        "key-uri",
        "`parse_key_uri`, `kms_label`",
        _key_uri,
        lambda: [
            _URI.encode(),
            b"azure-kv://my-vault.vault.azure.net/keys/holdfast",
            b"gcp-kms://projects/p/locations/l1/keyRings/r/cryptoKeys/k",
        ],
        (b"/../", b"@", b"%2f", b"?", b".vault.azure.net/keys/"),
    ),
    Target(
        "second-suite", "`open_key`, `seal_key`, `SealingKey`, `verify` of HYBRID_2", _second_suite, _second_suite_seeds
    ),
]
