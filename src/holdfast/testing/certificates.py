"""Certificates for servers that tests start: short-lived, and trusted by nobody who is not told to."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

__all__ = ["ServerCertificate", "make_certificate"]

_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
_END = _BEGIN + timedelta(days=36_500)


class ServerCertificate(NamedTuple):
    """PEM files: the server's `certificate` and `key`, and the `root` that a client is told to trust."""

    certificate: Path
    key: Path
    root: Path


def make_certificate(folder: Path, *names: str) -> ServerCertificate:
    """For a server that is called by `names`: DNS names or IP addresses. Writes three files into `folder`."""
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
    root = (
        _builder("root of a test", "root of a test", authority)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority, SHA256())
    )
    server = (
        _builder(names[0], "root of a test", key).add_extension(alternatives, critical=False).sign(authority, SHA256())
    )
    made = ServerCertificate(folder / "server.pem", folder / "server.key", folder / "root.pem")
    made.certificate.write_bytes(server.public_bytes(Encoding.PEM))
    made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    made.root.write_bytes(root.public_bytes(Encoding.PEM))
    return made


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
