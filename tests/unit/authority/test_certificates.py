"""Client certificates: real chains, made here, and all that is wrong with others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast.authority.certificates import load_authorities, principal_of_certificate
from holdfast.authority.settings import parse_settings
from holdfast.clock import NANOSECONDS
from holdfast.errors import CredentialError, UsageError

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=30)
URI = "spiffe://example.org/trainer/7"


class Authority:
    """Something that signs certificates."""

    def __init__(self, name: str, parent: Authority | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = parent or self
        builder = self._builder(self.name, signer.name, self.key).add_extension(x509.BasicConstraints(True, None), True)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), False
        )
        self.certificate = builder.sign(signer.key, hashes.SHA256())

    @staticmethod
    def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(BEGIN).not_valid_after(END)

    def client(self, *names: x509.GeneralName, usage=ExtendedKeyUsageOID.CLIENT_AUTH) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "owner")])
        builder = self._builder(subject, self.name, key)
        builder = builder.add_extension(x509.BasicConstraints(False, None), True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False
        )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


ROOT = Authority("root")
MIDDLE = Authority("middle", ROOT)
MIDDLE_DER = MIDDLE.certificate.public_bytes(serialization.Encoding.DER)
CLIENT = MIDDLE.client(x509.UniformResourceIdentifier(URI))
VERSION_8 = CLIENT.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07")


@pytest.fixture
def settings(tmp_path: Path):
    path = tmp_path / "ca.pem"
    path.write_bytes(ROOT.certificate.public_bytes(serialization.Encoding.PEM))

    def made(more: str = ""):
        text = f"certificates: {{authorities: {path}{more}}}\ngrants: [{{to: 'machine:{URI}', roles: [trainer]}}]\n"
        return parse_settings(text.encode())

    return made


def whom(settings, *chain: bytes, at: datetime = BEGIN + timedelta(days=1)):
    authorities = load_authorities(settings.certificates)
    return principal_of_certificate(chain, settings, authorities, int(at.timestamp()) * NANOSECONDS)


def test_a_certificate_names_a_machine(settings) -> None:
    found = whom(settings(), CLIENT, MIDDLE_DER)
    assert (found.kind, found.id, found.person) == ("Machine", URI, f"machine:{URI}")
    assert found.roles(found.since_ns) == {"trainer"}
    assert found.until_ns == (int(END.timestamp()) + 60) * NANOSECONDS
    assert dict(found.attributes)["issuer"] == "CN=middle"


def test_other_names_of_a_subject(settings) -> None:
    assert whom(settings(), MIDDLE.client(x509.DNSName("gpu-1.example")), MIDDLE_DER).id == "gpu-1.example"
    mixed = MIDDLE.client(x509.DNSName("gpu-1.example"), x509.UniformResourceIdentifier(URI))
    assert whom(settings(), mixed, MIDDLE_DER).id == URI
    with pytest.raises(CredentialError):  # the common name says `owner`
        whom(settings(), MIDDLE.client(), MIDDLE_DER)


def test_a_chain_must_lead_to_an_authority(settings) -> None:
    other = Authority("root")
    forged = other.client(x509.UniformResourceIdentifier(URI))
    for chain in (
        [forged],
        [forged, other.certificate.public_bytes(serialization.Encoding.DER)],
        [CLIENT],
        [forged, MIDDLE_DER],
    ):
        with pytest.raises(CredentialError, match="does not lead to an authority"):
            whom(settings(), *chain)


def test_a_servers_certificate_is_no_clients(settings) -> None:
    server = MIDDLE.client(x509.DNSName("api.example"), usage=ExtendedKeyUsageOID.SERVER_AUTH)
    with pytest.raises(CredentialError, match="does not lead"):
        whom(settings(), server, MIDDLE_DER)


def test_a_certificate_has_its_time(settings) -> None:
    second = timedelta(seconds=1)
    assert whom(settings(), CLIENT, MIDDLE_DER, at=END + 60 * second)
    assert whom(settings(), CLIENT, MIDDLE_DER, at=BEGIN - 60 * second)
    with pytest.raises(CredentialError, match="expired at 2026-01-31"):
        whom(settings(), CLIENT, MIDDLE_DER, at=END + 61 * second)
    with pytest.raises(CredentialError, match="not valid before 2026-01-01"):
        whom(settings(), CLIENT, MIDDLE_DER, at=BEGIN - 61 * second)


def test_a_revoked_certificate(settings) -> None:
    serial = f"{x509.load_der_x509_certificate(CLIENT).serial_number:x}"
    with pytest.raises(CredentialError, match="was revoked"):
        whom(settings(f", revoked: ['{serial.upper()}']"), CLIENT, MIDDLE_DER)
    assert whom(settings(", revoked: ['abcdef']"), CLIENT, MIDDLE_DER)


def test_a_revoked_authority_on_the_way(settings) -> None:
    with pytest.raises(CredentialError, match="was revoked"):
        whom(settings(f", revoked: ['{MIDDLE.certificate.serial_number:x}']"), CLIENT, MIDDLE_DER)


@pytest.mark.parametrize(
    "chain", [[], [b""], [b"x" * 40_000], [CLIENT[:-9]], [CLIENT] * 9, [CLIENT, b"\0"], [VERSION_8]]
)
def test_what_is_no_chain(settings, chain: list[bytes]) -> None:
    with pytest.raises(CredentialError):
        whom(settings(), *chain)


def test_certificates_that_nobody_asked_for(settings, tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="not accepted here"):
        principal_of_certificate([CLIENT], parse_settings(b"version: 1"), [], 0)
    empty = settings()
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(UsageError, match="no CA certificates"):
        load_authorities(empty.certificates)
