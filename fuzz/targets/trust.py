"""Key files, recipients, sealed keys, signatures, sealed blobs."""

from __future__ import annotations

import msgspec

from fuzz import world
from fuzz.model import Broken, Target
from fuzz.targets.records import affordable
from holdfast.errors import HoldfastError
from holdfast.trust.aead import AesGcmCipher, PlainCipher
from holdfast.trust.credentials import _Document, decode_credential, encode_credential
from holdfast.trust.passphrase import Cost, unwrap_with_passphrase, wrap_with_passphrase
from holdfast.trust.recipients import Recipient, keyfile_recipient, passphrase_recipient, unwrap
from holdfast.trust.sealing import SealingKey, open_key, seal_key
from holdfast.trust.signing import SigningKey, fingerprint, verify

__all__ = ["TARGETS"]

_INFO = b"holdfast fuzz\0"
_SECRET = bytes(range(112))
_CHEAP = Cost(passes=1, lanes=1, memory_kib=8)


def _key_file(data: bytes) -> None:
    """As it is, and with the check over its members made right: who edits a key file can do that too."""
    try:
        document = msgspec.json.decode(data, type=_Document)
        document.check = document.expected_check()
        data = msgspec.json.encode(document)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    credential = decode_credential(data, "x.key")
    if decode_credential(encode_credential(credential), "x.key") != credential:
        raise Broken("a credential does not give its own key file")
    repr(credential)


def _key_file_seeds() -> list[bytes]:
    writer = msgspec.structs.asdict(msgspec.json.decode(encode_credential(world.KEEPER(True)), type=_Document))
    writer |= {"role": "writer", "opener": None, "chunk_id_key": bytes(32), "index_key": bytes(32)}
    document = _Document(**writer)
    document.check = document.expected_check()
    return [encode_credential(world.KEEPER(encrypted)) for encrypted in (True, False)] + [msgspec.json.encode(document)]


def _recipient(data: bytes) -> None:
    recipient = msgspec.msgpack.decode(data, type=Recipient) if _is_recipient(data) else None
    if recipient is None or not affordable(recipient.wrapped):
        return
    for opener in (world.KEEPER(True), world.PASSPHRASE, SealingKey(bytes(96))):
        try:
            unwrap(recipient, opener, _INFO)
        except HoldfastError:
            continue


def _is_recipient(data: bytes) -> bool:
    try:
        msgspec.msgpack.decode(data, type=Recipient)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
    return True


def _recipient_seeds() -> list[bytes]:
    opener = world.KEEPER(True).opener
    assert opener is not None
    recipients = [
        keyfile_recipient(opener.public, "a", _SECRET, _INFO),
        passphrase_recipient(world.PASSPHRASE, "b", _SECRET, _INFO, cost=_CHEAP),
    ]
    return [msgspec.msgpack.encode(recipient) for recipient in recipients]


def _passphrase(data: bytes) -> None:
    if affordable(data):
        unwrap_with_passphrase(world.PASSPHRASE, data, _INFO)


def _sealed_key(data: bytes) -> None:
    """First byte: open with a key, or seal to the public key that follows."""
    if data[:1] == b"\1":
        seal_key(data[1:], bytes(32), _INFO)
    else:
        opener = world.KEEPER(True).opener
        assert opener is not None
        open_key(opener, data[1:], _INFO)


def _sealed_key_seeds() -> list[bytes]:
    opener = world.KEEPER(True).opener
    assert opener is not None
    return [b"\0" + seal_key(opener.public, bytes(32), _INFO), b"\1" + opener.public]


def _signature(data: bytes) -> None:
    public, signature = data[:1984], data[1984:]
    fingerprint(public)
    verify(public, b"message", signature)


def _signature_seeds() -> list[bytes]:
    signer = SigningKey(bytes(range(64)))
    return [signer.public + signer.sign(b"message")]


def _sealed_blob(data: bytes) -> None:
    for cipher in (AesGcmCipher(bytes(32)), PlainCipher(bytes(32))):
        out = memoryview(bytearray(len(data)))
        for attempt in (lambda c=cipher: c.open(0, data, b""), lambda c=cipher, o=out: c.open_into(0, data, b"", o)):
            try:
                attempt()
            except HoldfastError:
                continue


TARGETS = [
    Target(
        "key-file",
        "`decode_credential`, `Credential`, also behind the file's own check",
        _key_file,
        _key_file_seeds,
        (b'"role"', b"null", b'"keeper"', b'"writer"', b'"reader"', b"[" * 500, b'"\\ud800"', b"1e400", b"9" * 400),
    ),
    Target("recipient", "`unwrap`, both kinds", _recipient, _recipient_seeds, (b"keyfile", b"passphrase")),
    Target(
        "passphrase",
        "`unwrap_with_passphrase` (work that is allowed and dear is left out)",
        _passphrase,
        lambda: [wrap_with_passphrase(world.PASSPHRASE, _SECRET, _INFO, cost=_CHEAP)],
    ),
    Target("sealed-key", "`open_key`, `seal_key`", _sealed_key, _sealed_key_seeds),
    Target("signature", "`verify`, `fingerprint`", _signature, _signature_seeds),
    Target(
        "sealed-blob",
        "`open`, `open_into` of both ciphers",
        _sealed_blob,
        lambda: [PlainCipher(bytes(32)).seal(0, b"blob", b"")],
    ),
]
