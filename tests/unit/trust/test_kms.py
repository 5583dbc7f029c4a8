"""Key management services: AWS against moto's server, Azure and Google against doubles of their REST APIs.

The doubles keep to the documented requests and answers, and hold real keys: RSA-OAEP-256 and AES-GCM. That the clouds
themselves answer like this is not shown here.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.errors import (
    CredentialError,
    DamageError,
    FailedError,
    HoldfastError,
    MissingExtraError,
    NotFoundError,
    PermissionDeniedError,
    StoreUnreachableError,
    UsageError,
    WrongKeyError,
)
from holdfast.trust.kms import aws as aws_adapter
from holdfast.trust.kms import rest
from holdfast.trust.kms.aws import AwsKey
from holdfast.trust.kms.azure import AzureKey
from holdfast.trust.kms.google import GoogleKey, crc32c
from holdfast.trust.kms.port import Binding, KeyService, kms_label, parse_key_uri
from holdfast.trust.kms.services import KeyServices, kms_recipient, open_key_service, unwrap_with_kms
from holdfast.trust.recipients import Recipient

BINDING, LATER = Binding("00112233445566778899aabbccddeeff", 1), Binding("00112233445566778899aabbccddeeff", 2)
KEY, INFO, SECRET = bytes(range(32)), b"holdfast 1 epoch\0", bytes(range(112))
AZURE = "azure-kv://my-vault.vault.azure.net/keys/holdfast"
GOOGLE = "gcp-kms://projects/p/locations/europe-west3/keyRings/r/cryptoKeys/holdfast"


@pytest.fixture(scope="module")
def moto_server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a new key."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", moto_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "AWS-SECRET-FOR-TESTS")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    import boto3

    made = boto3.client("kms", region_name="eu-central-1").create_key()
    return f"aws-kms://eu-central-1/{made['KeyMetadata']['KeyId']}"


class Double(ThreadingHTTPServer):
    """A key service on the loopback interface. `fail`: a status that it answers with from now on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.rsa = {version: rsa.generate_private_key(65537, 2048) for version in ("a" * 32,)}
        self.aes = AESGCM(os.urandom(32))
        self.fail: int | None = None
        self.garble = False
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any] | int:
        azure = re.fullmatch(r"/keys/holdfast(?:/([0-9a-f]{32}))?/(wrapkey|unwrapkey)\?api-version=7\.4", path)
        if azure:
            return self.azure(azure[1] or "a" * 32, azure[2], body)
        google = re.fullmatch(rf"/v1/{GOOGLE.partition('://')[2]}:(encrypt|decrypt)", path)
        return self.google(google[1], body) if google else 404

    def azure(self, version: str, verb: str, body: dict[str, Any]) -> dict[str, Any] | int:
        """learn.microsoft.com/rest/api/keyvault/keys: KeyOperationsParameters and KeyOperationResult."""
        if body["alg"] != "RSA-OAEP-256" or version not in self.rsa:
            return 400 if version in self.rsa else 404
        value = base64.urlsafe_b64decode(body["value"] + "==")
        key, oaep = self.rsa[version], padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        try:
            made = key.public_key().encrypt(value, oaep) if verb == "wrapkey" else key.decrypt(value, oaep)
        except ValueError:
            return 400
        kid = f"https://my-vault.vault.azure.net/keys/holdfast/{version}"
        return {"kid": kid, "value": base64.urlsafe_b64encode(made).rstrip(b"=").decode()}

    def google(self, verb: str, body: dict[str, Any]) -> dict[str, Any] | int:
        """cloud.google.com/kms/docs/reference/rest: projects.locations.keyRings.cryptoKeys.encrypt, .decrypt."""
        name = "plaintext" if verb == "encrypt" else "ciphertext"
        value, aad = base64.b64decode(body[name]), base64.b64decode(body["additionalAuthenticatedData"])
        if int(body[f"{name}Crc32c"]) != crc32c(value) or int(body["additionalAuthenticatedDataCrc32c"]) != crc32c(aad):
            return 400
        if verb == "encrypt":
            nonce = os.urandom(12)
            made, said = nonce + self.aes.encrypt(nonce, value, aad), "ciphertext"
        else:
            try:
                made, said = self.aes.decrypt(value[:12], value[12:], aad), "plaintext"
            except InvalidTag:
                return 400
        checksum = crc32c(made) ^ self.garble
        answer: dict[str, Any] = {said: base64.b64encode(made).decode(), f"{said}Crc32c": str(checksum)}
        if verb == "encrypt":
            answer |= {"verifiedPlaintextCrc32c": True, "verifiedAdditionalAuthenticatedDataCrc32c": True}
        return answer


class _Answering(BaseHTTPRequestHandler):
    server: Double

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(self.path)
        if self.headers["Authorization"] != "Bearer token-of-tests":
            made: dict[str, Any] | int = 401
        else:
            made = self.server.fail or self.server.answer(self.path, body)
        text = json.dumps(made if isinstance(made, dict) else {"error": {"message": "SECRET IN AN ANSWER"}}).encode()
        self.send_response(200 if isinstance(made, dict) else made)
        if made == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def double() -> Iterator[Double]:
    server = Double()
    yield server
    server.shutdown()
    server.server_close()


def token() -> str:
    return "token-of-tests"


@pytest.fixture(params=["aws", "azure", "google"])
def service(request: pytest.FixtureRequest) -> KeyService:
    if request.param == "aws":
        return AwsKey(parse_key_uri(request.getfixturevalue("aws")))
    url = request.getfixturevalue("double").url
    if request.param == "azure":
        return AzureKey(parse_key_uri(AZURE), endpoint=url, token=token)
    return GoogleKey(parse_key_uri(GOOGLE), endpoint=url, token=token)


def test_what_is_wrapped_unwraps_and_is_not_in_clear(service: KeyService) -> None:
    wrapped = service.wrap(KEY, BINDING)
    assert KEY not in wrapped and service.wrap(KEY, BINDING) != wrapped
    assert service.unwrap(wrapped, BINDING) == KEY


def test_it_is_bound_to_vault_and_epoch(service: KeyService) -> None:
    """By the service where it has associated data; in any case by what the wrapped key seals."""
    services = KeyServices(maker=lambda uri: service)
    recipient = kms_recipient(services, service.uri.text, "cloud", SECRET, INFO, BINDING)
    assert unwrap_with_kms(recipient, services, INFO, BINDING) == SECRET
    with pytest.raises(WrongKeyError):
        unwrap_with_kms(recipient, services, INFO + b".", BINDING)
    if not isinstance(service, AzureKey):
        for other in (LATER, Binding("f" * 32, 1)):
            with pytest.raises(WrongKeyError):
                service.unwrap(service.wrap(KEY, BINDING), other)


def test_changed_bytes_do_not_unwrap(service: KeyService) -> None:
    wrapped = service.wrap(KEY, BINDING)
    with pytest.raises((WrongKeyError, FailedError)) as caught:
        service.unwrap(wrapped[:-1] + bytes([wrapped[-1] ^ 1]), BINDING)
    assert_silent(caught.value)


def assert_silent(error: BaseException) -> None:
    """Neither the key nor the credentials nor what the service said is in an error, nor chained to it."""
    while error is not None:
        shown = f"{error!r} {getattr(error, 'hint', '')}"
        for secret in ("SECRET", "token-of-tests", KEY.hex(), base64.b64encode(KEY).decode(), repr(KEY)):
            assert secret not in shown
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)  # type: ignore[assignment]


def test_aws_says_what_is_wrong(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped = AwsKey(parse_key_uri(aws)).wrap(KEY, BINDING)
    absent = AwsKey(parse_key_uri("aws-kms://eu-central-1/00000000-0000-0000-0000-000000000000"))
    with pytest.raises(NotFoundError, match="there is no key aws-kms"):
        absent.wrap(KEY, BINDING)
    monkeypatch.setattr(aws_adapter, "CONNECT_SECONDS", 0.2)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")
    with pytest.raises(StoreUnreachableError, match="does not answer") as caught:
        AwsKey(parse_key_uri(aws)).unwrap(wrapped, BINDING)
    assert_silent(caught.value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(CredentialError, match="no usable AWS credentials"):
        AwsKey(parse_key_uri(aws)).wrap(KEY, BINDING)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("AccessDeniedException", PermissionDeniedError),
        ("ThrottlingException", StoreUnreachableError),
        ("InvalidCiphertextException", WrongKeyError),
        ("DisabledException", FailedError),
    ],
)
def test_aws_refusals_have_their_classes(aws: str, code: str, error: type[HoldfastError]) -> None:
    """moto grants everything: here botocore's own stubber answers for it."""
    from botocore.stub import Stubber

    key = AwsKey(parse_key_uri(aws))
    with Stubber(key._client) as stub:
        stub.add_client_error("decrypt", code, "SECRET IN AN ANSWER")
        with pytest.raises(error) as caught:
            key.unwrap(b"wrapped", BINDING)
    assert type(caught.value) is error
    assert_silent(caught.value)


@pytest.mark.parametrize("cloud", ["azure", "google"])
@pytest.mark.parametrize(
    ("status", "error", "asked"),
    [
        (401, PermissionDeniedError, 1),
        (403, PermissionDeniedError, 1),
        (404, NotFoundError, 1),
        (302, FailedError, 1),
        (418, FailedError, 1),
        (429, StoreUnreachableError, 2),
        (503, StoreUnreachableError, 2),
    ],
)
def test_answers_of_rest_services(
    double: Double, cloud: str, status: int, error: type[HoldfastError], asked: int
) -> None:
    key = rest_key(double, cloud)
    double.fail = status
    with pytest.raises(error) as caught:
        key.wrap(KEY, BINDING)
    assert type(caught.value) is error and len(double.asked) == asked
    assert_silent(caught.value)


def rest_key(double: Double, cloud: str) -> AzureKey | GoogleKey:
    if cloud == "azure":
        return AzureKey(parse_key_uri(AZURE), endpoint=double.url, token=token)
    return GoogleKey(parse_key_uri(GOOGLE), endpoint=double.url, token=token)


@pytest.mark.parametrize("cloud", ["azure", "google"])
def test_nobody_there(double: Double, cloud: str) -> None:
    key = rest_key(double, cloud)
    double.shutdown()
    double.server_close()
    with pytest.raises(StoreUnreachableError, match="does not answer"):
        key.wrap(KEY, BINDING)


def test_azure_goes_on_with_the_version_that_wrapped(double: Double) -> None:
    key = rest_key(double, "azure")
    wrapped = key.wrap(KEY, BINDING)
    double.rsa["b" * 32] = rsa.generate_private_key(65537, 2048)
    assert key.unwrap(wrapped, BINDING) == KEY
    assert double.asked[-1].startswith(f"/keys/holdfast/{'a' * 32}/unwrapkey")
    with pytest.raises(DamageError, match="names no version"):
        key.unwrap(b"x" + wrapped, BINDING)


def test_google_notices_damage_on_the_way(double: Double) -> None:
    key = rest_key(double, "google")
    double.garble = True
    with pytest.raises(StoreUnreachableError, match="damaged on its way"):
        key.wrap(KEY, BINDING)


def test_the_checksum_is_castagnoli() -> None:
    """RFC 3720, B.4."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_no_token_goes_over_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    for endpoint in ("http://example.org", "ftp://127.0.0.1", "http://127.0.0.1.example.org"):
        with pytest.raises(UsageError, match="https"):
            AzureKey(parse_key_uri(AZURE), endpoint=endpoint, token=token)


@pytest.mark.parametrize(
    "text",
    [
        "aws-kms://eu-central-1/alias/holdfast",
        "aws-kms://us-gov-west-1/1234abcd-12ab-34cd-56ef-1234567890ab",
        "aws-kms://eu-central-1/mrk-1234abcd12ab34cd56ef1234567890ab",
        AZURE,
        AZURE + "/" + "a" * 32,
        GOOGLE,
    ],
)
def test_key_uris(text: str) -> None:
    uri = parse_key_uri(text)
    assert uri.text == text and uri.region and uri.key
    assert re.fullmatch(r"[a-z][A-Za-z0-9._-]{0,63}", kms_label(uri))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "aws-kms://",
        "aws-kms://eu-central-1",
        "aws-kms://evil.example.org/alias/x",
        "aws-kms://eu-central-1@evil/alias/x",
        "azure-kv://my-vault.vault.azure.net.evil.org/keys/x",
        "azure-kv://evil.org/keys/x",
        "azure-kv://my-vault.vault.azure.net/keys/x/../../secrets/y",
        "azure-kv://my-vault.vault.azure.net/keys/x?y",
        "gcp-kms://projects/p/locations/../keyRings/r/cryptoKeys/k",
        "gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k:destroy",
        "https://example.org/",
        "aws-kms://eu-central-1/alias/" + "x" * 2000,
    ],
)
def test_what_is_no_key_uri(text: str) -> None:
    with pytest.raises(UsageError, match="no URI of a key"):
        parse_key_uri(text)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, uri, extra in (
        ("boto3", "aws-kms://eu-central-1/alias/x", "aws"),
        ("azure.identity", AZURE, "azure"),
        ("google.auth", GOOGLE, "gcp"),
    ):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        with pytest.raises(MissingExtraError) as caught:
            open_key_service(parse_key_uri(uri))
        assert f"holdfast[{extra}]" in caught.value.hint


def test_clouds_without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """The real packages look in the usual places, and find nothing."""
    for name in [name for name in os.environ if name.startswith(("AZURE_", "GOOGLE_", "GCE_", "MSI_", "IDENTITY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CredentialError, match="no usable Google credentials"):
        open_key_service(parse_key_uri(GOOGLE))
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")  # and not the network's metadata service
    with pytest.raises(CredentialError, match="no usable Azure credentials"):
        open_key_service(parse_key_uri(AZURE)).wrap(KEY, BINDING)


@pytest.mark.parametrize("wrapped", [b"", b"\1", b"\0\0" + bytes(64), b"\xff\xff" + bytes(64), b"\1\0x" + bytes(15)])
def test_what_is_cut_short_asks_nobody(wrapped: bytes) -> None:
    def nobody(uri: object) -> KeyService:
        raise AssertionError

    recipient = Recipient(kind="kms", label="x", id="0" * 32, public=AZURE.encode(), wrapped=wrapped)
    with pytest.raises(DamageError, match="cut short"):
        unwrap_with_kms(recipient, KeyServices(maker=nobody), INFO, BINDING)
    for public in (b"", b"\xff", b"https://example.org"):
        with pytest.raises(DamageError, match="names no key"):
            unwrap_with_kms(
                Recipient(kind="kms", label="x", id="0", public=public, wrapped=wrapped),
                KeyServices(maker=nobody),
                INFO,
                BINDING,
            )


class _Dripping(BaseHTTPRequestHandler):
    """Half of an answer at once, and then a byte now and then, for ever."""

    def do_POST(self) -> None:
        server: Any = self.server
        with contextlib.suppress(OSError):
            self.wfile.write(server.begin)
            while not server.over.wait(0.05):
                self.wfile.write(server.drop)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    ],
)
@pytest.mark.parametrize("cloud", ["aws", "google"])
def test_an_answer_that_comes_drop_by_drop(
    cloud: str, begin: bytes, drop: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Dripping)
    server.begin, server.drop, server.over = begin, drop, threading.Event()
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    for name, value in {"ENDPOINT_URL_KMS": url, "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "y"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    for adapter in (aws_adapter, rest):
        monkeypatch.setattr(adapter, "CALL_SECONDS", 0.3)
    key = (
        AwsKey(parse_key_uri("aws-kms://eu-central-1/alias/x"))
        if cloud == "aws"
        else GoogleKey(parse_key_uri(GOOGLE), endpoint=url, token=token)
    )
    try:
        with pytest.raises(StoreUnreachableError, match="does not answer"):
            key.unwrap(b"wrapped", BINDING)
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "said", [b"", b"{}", b"[]", b"null", b"junk", b'{"Plaintext":5}', b'{"Plaintext":"a"}', b"\xff", b"[" * 5000]
)
def test_senseless_answers_of_aws(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore believes what it parses, and fails in many ways; where one service fails, another is asked."""
    from botocore.awsrequest import AWSResponse
    from botocore.httpsession import URLLib3Session

    class Raw:
        def stream(self) -> Iterator[bytes]:
            yield said

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    monkeypatch.setattr(URLLib3Session, "send", lambda self, request: AWSResponse(request.url, 200, {}, Raw()))
    key = AwsKey(parse_key_uri("aws-kms://eu-central-1/alias/x"))
    for call in (key.wrap, key.unwrap):
        with pytest.raises(FailedError, match="no sensible answer"):
            call(KEY, BINDING)


def test_the_server_is_on_this_machine(moto_server: str) -> None:
    with urllib.request.urlopen(f"{moto_server}/moto-api/") as answer:
        assert answer.status == 200
