"""Machines that prove themselves by a certificate (mutual TLS).

The server that ended the TLS connection hands on the chain that the client presented. The chain is verified here once
more, against the authorities of `authority.yaml`: a server that is set up to take any certificate makes no difference.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence, Set
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.verification import ClientVerifier, PolicyBuilder, Store, VerificationError

from holdfast.authority.principals import Principal
from holdfast.authority.settings import Certificates, Settings
from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.errors import CredentialError, UsageError
from holdfast.units import parse_duration

__all__ = ["principal_of_certificate", "load_authorities", "parse_certificate", "CERTIFICATE_BYTES_MAX", "CHAIN_MAX"]

CERTIFICATE_BYTES_MAX: Final = 32 << 10
CHAIN_MAX: Final = 8
_NAME_MAX: Final = 255


def load_authorities(certificates: Certificates) -> list[x509.Certificate]:
    """The CA certificates that count. Raises UsageError when the file holds none that can be read."""
    try:
        data = Path(certificates.authorities).expanduser().read_bytes()
        return x509.load_pem_x509_certificates(data)
    except (OSError, ValueError) as error:
        raise UsageError(f"{certificates.authorities} holds no CA certificates that can be read") from error


def principal_of_certificate(
    chain: Sequence[bytes], settings: Settings, authorities: Sequence[x509.Certificate], now_ns: int
) -> Principal:
    """Whom the first certificate of `chain` (DER, the client's own first) names. Raises CredentialError.

    The name is the first URI of the subject's alternative names (as SPIFFE has it), else the first DNS name or mail
    address there. A common name does not count: it says nothing about what kind of name it is.
    """
    rules = settings.certificates
    if rules is None:
        raise CredentialError(
            "certificates are not accepted here", hint="`certificates` in authority.yaml says whose are"
        )
    if not 1 <= len(chain) <= CHAIN_MAX:
        raise CredentialError(f"a chain has 1 to {CHAIN_MAX} certificates, not {len(chain)}")
    leaf, *others = [parse_certificate(one) for one in chain]
    moment = _moment(leaf, rules, now_ns)
    revoked = {one.lower().lstrip("0") for one in rules.revoked}
    _require_not_revoked([leaf], revoked)
    _require_not_revoked(_verified(leaf, others, authorities, moment), revoked)
    name = _name(leaf)
    person = f"machine:{name}"
    return Principal(
        kind="Machine",
        id=name,
        name=name,
        person=person,
        how=f"a certificate, number {leaf.serial_number:x}",
        grants=settings.grants_for(frozenset({person})),
        attributes=(("issuer", leaf.issuer.rfc4514_string()[:_NAME_MAX]),),
        since_ns=_ns(leaf.not_valid_before_utc),
        until_ns=_ns(leaf.not_valid_after_utc) + round(parse_duration(rules.skew) * NANOSECONDS),
    )


def parse_certificate(data: bytes) -> x509.Certificate:
    """Raises CredentialError."""
    if len(data) > CERTIFICATE_BYTES_MAX:
        raise CredentialError(f"the certificate has more than {CERTIFICATE_BYTES_MAX >> 10} KiB, which none has")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what RFC 5280 disallows; verifying decides whether it matters
            certificate = x509.load_der_x509_certificate(data)
            # Parsed when they are asked for:
            _ = certificate.subject, certificate.issuer, certificate.extensions, certificate.not_valid_after_utc
            positive = certificate.serial_number > 0
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion, OverflowError) as error:
        raise CredentialError("the certificate is malformed") from error
    if not positive:
        raise CredentialError("the certificate's number is not positive")
    return certificate


def _moment(leaf: x509.Certificate, rules: Certificates, now_ns: int) -> datetime:
    """The time to verify at: now, or within what clocks may differ, the nearest at which the certificate is valid."""
    now = datetime.fromtimestamp(now_ns // NANOSECONDS, UTC)
    skew = timedelta(seconds=parse_duration(rules.skew))
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now > end + skew:
        raise CredentialError(f"the certificate expired at {to_rfc3339(_ns(end))}", hint="get a new one")
    if now < begin - skew:
        raise CredentialError(
            f"the certificate is not valid before {to_rfc3339(_ns(begin))}", hint="is this machine's clock right?"
        )
    return min(max(now, begin), end)


def _require_not_revoked(chain: Sequence[x509.Certificate], revoked: Set[str]) -> None:
    """Nobody's whose own certificate, or that of an authority on the way, is listed. Raises CredentialError."""
    for one in chain:
        if f"{one.serial_number:x}" in revoked:
            raise CredentialError(f"the certificate {one.serial_number:x} was revoked")


def _verified(
    leaf: x509.Certificate, others: list[x509.Certificate], authorities: Sequence[x509.Certificate], moment: datetime
) -> Sequence[x509.Certificate]:
    """The chain that leads to one of the authorities."""
    try:
        verifier: ClientVerifier = PolicyBuilder().store(Store(list(authorities))).time(moment).build_client_verifier()
        return verifier.verify(leaf, others).chain
    except (VerificationError, ValueError, InvalidSignature, UnsupportedAlgorithm, TypeError) as error:
        raise CredentialError(
            "the certificate does not lead to an authority that is accepted here",
            hint="`certificates` in authority.yaml names the authorities; a client's certificate is one for clientAuth",
        ) from error


def _name(leaf: x509.Certificate) -> str:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise CredentialError("the certificate names nobody: it has no alternative names of its subject") from error
    found: list[str] = []
    for kind in (x509.UniformResourceIdentifier, x509.DNSName, x509.RFC822Name):
        found += names.get_values_for_type(kind)
    if not found or not found[0].isprintable() or not 0 < len(found[0]) <= _NAME_MAX:
        raise CredentialError("the certificate names nobody that can be written down: a URI, a DNS name or an address")
    return found[0]


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * NANOSECONDS
