"""From what somebody shows to who they are: tokens, API keys, certificates, key files of a vault.

All of these raise CredentialError, with a sentence that never quotes what was shown. What reads tokens, API keys and
certificates is imported where one is shown: most commands are asked for by members of a vault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.authority.members import principal_of_member
from holdfast.authority.principals import ANONYMOUS, Principal
from holdfast.control.authority.authority_home import API_KEY_VARIABLE, TOKEN_VARIABLE, AuthorityHome
from holdfast.errors import CredentialError, UsageError
from holdfast.trust.keyfile import read_private_file
from holdfast.trust.signing import fingerprint
from holdfast.trust.suites import Suite
from holdfast.vault.vault import Vault

__all__ = ["Member", "member_of", "by_environment", "by_token", "by_api_key", "by_certificate", "by_membership"]


@dataclass(frozen=True, slots=True)
class Member:
    """What an opened vault says about whoever opened it. `role`: writer, reader or keeper; empty without any key."""

    vault: str
    role: str
    label: str
    fingerprint: str = ""


def member_of(vault: Vault) -> Member:
    """Who has opened this vault, as it was proven: by keys that its configuration lists.

    Whoever opens a vault without encryption, and signs nothing, has proven nothing.
    """
    keys = vault.handle.keys
    if keys.signer is None and keys.suite is Suite.PLAIN:
        return Member(vault.id, "", "")
    signer = "" if keys.signer is None else fingerprint(keys.signer.public)
    return Member(vault.id, keys.role, keys.label, signer)


def by_environment(home: AuthorityHome, member: Member | None) -> Principal:
    """The token's, else the API key's, else the member of the vault, else nobody."""
    token, key = (home.environment.get(name, "") for name in (TOKEN_VARIABLE, API_KEY_VARIABLE))
    if token and key:
        raise CredentialError(
            f"{TOKEN_VARIABLE} and {API_KEY_VARIABLE} are both set: it is not clear who asks", hint="unset one of them"
        )
    if token:
        from holdfast.authority.tokens import TOKEN_BYTES_MAX

        return by_token(home, _secret(token, TOKEN_BYTES_MAX))
    if key:
        from holdfast.authority.api_keys import KEY_BYTES_MAX

        return by_api_key(home, _secret(key, KEY_BYTES_MAX))
    return by_membership(home, member)


def _secret(path: str, most: int) -> bytes:
    """The content of a file of the user's own, without the end of its line. Raises PermissionDeniedError besides."""
    data = read_private_file(Path(path))
    if len(data) > most + 2:
        raise CredentialError(
            f"{path} has more than {most} bytes: it is neither a token nor an API key", object_name=path
        )
    return data.strip()


def by_token(home: AuthorityHome, token: bytes) -> Principal:
    """`token`: a JWT, as it follows `Bearer`."""
    from holdfast.authority.tokens import principal_of_token

    return principal_of_token(token, home.settings, home.keys, home.clock.now_ns())


def by_api_key(home: AuthorityHome, text: bytes) -> Principal:
    """`text`: `hfk_…`."""
    from holdfast.authority.api_keys import parse_api_key, principal_of_api_key
    from holdfast.authority.register import load_register

    key = parse_api_key(text)
    register = load_register(home.register)
    if register is None:
        raise CredentialError(f"there are no API keys here ({home.register})")
    return principal_of_api_key(key, register, home.settings, home.clock.now_ns())


def by_certificate(home: AuthorityHome, chain: Sequence[bytes]) -> Principal:
    """`chain`: DER, the client's certificate first, as a TLS server got it."""
    from holdfast.authority.certificates import load_authorities, principal_of_certificate

    rules = home.settings.certificates
    try:
        authorities = [] if rules is None else load_authorities(rules)
    except UsageError as error:
        raise CredentialError(error.message, hint=error.hint) from error
    return principal_of_certificate(chain, home.settings, authorities, home.clock.now_ns())


def by_membership(home: AuthorityHome, member: Member | None) -> Principal:
    """Who has opened the vault; nobody where it was opened without a key, or not at all."""
    if member is None or not member.role:
        return ANONYMOUS
    return principal_of_member(member.vault, member.role, member.label, home.settings, fingerprint=member.fingerprint)
