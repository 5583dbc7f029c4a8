"""Guards against whoever stole a token, an API key or a certificate, or rules the identity provider (rows I)."""

from __future__ import annotations

from .model import Edit, Guard

__all__ = ["GUARDS"]

_TOKENS, _ISSUERS, _KEYS = "authority/tokens.py", "authority/issuer_keys.py", "authority/api_keys.py"
_CERTIFICATES, _RULES = "authority/certificates.py", "authority/defaults/rules.cedar"
_TOKEN = "tests/unit/authority/test_tokens.py"
_KEY = "tests/unit/authority/test_api_keys.py"
_CERTIFICATE = "tests/unit/authority/test_certificates.py"
_AUTHORISING = "tests/unit/authority/test_authorising.py"
_POLICY = "tests/unit/authority/test_policies.py"
_PROPERTY = "tests/property/test_authority.py"
_VERIFIED = 'return deserialize_compact(token, public, [algorithm], registry).payload or b""'
_UNVERIFIED = 'import base64\n\n            return base64.urlsafe_b64decode(token.split(b".")[1] + b"==")'
_RULES_HOLD = "tests/unit/authority/test_rules.py::test_a_rule_holds_even_where_everything_is_permitted"


def _guard(row: str, name: str, test: str, file: str, old: str, new: str = "if False:") -> Guard:
    return Guard(row, name, test, (Edit(file, old, new),))


GUARDS = [
    _guard(
        "I1",
        "the algorithm is one of the issuer's",
        f"{_TOKEN}::test_a_token_that_is_not_signed",
        _TOKENS,
        "if header.alg not in issuer.algorithms:",
    ),
    Guard(
        "I1",
        "nothing at all stands against a token without signature",
        f"{_TOKEN}::test_a_token_that_is_not_signed",
        (
            Edit(_TOKENS, "if header.alg not in issuer.algorithms:", "if False:"),
            Edit(
                _TOKENS,
                "return key.kind == _KEY_TYPES.get(algorithm[:2]) and key.algorithm in (None, algorithm)",
                "return True",
            ),
            Edit(_TOKENS, _VERIFIED, _UNVERIFIED),
        ),
    ),
    _guard(
        "I1",
        "a key serves its own algorithms",
        f"{_TOKEN}::test_a_key_serves_only_its_own_algorithms",
        _TOKENS,
        "return key.kind == _KEY_TYPES.get(algorithm[:2]) and key.algorithm in (None, algorithm)",
        "return True",
    ),
    _guard(
        "I1",
        "the signature is verified",
        f"{_TOKEN}::test_changed_claims_are_not_the_issuers",
        _TOKENS,
        _VERIFIED,
        _UNVERIFIED,
    ),
    _guard(
        "I1",
        "a token brings no key",
        f"{_TOKEN}::test_a_token_does_not_bring_its_own_key",
        _TOKENS,
        "    if strange:\n",
        "    if False:\n",
    ),
    _guard(
        "I2", "the audience is ours", f"{_TOKEN}::test_wrong_audience", _TOKENS, "if issuer.audience not in audiences:"
    ),
    _guard(
        "I2",
        "discovery is of the issuer that was asked",
        f"{_TOKEN}::test_discovery_of_another_issuer_is_not_believed",
        _ISSUERS,
        "if document.issuer != issuer.issuer:",
    ),
    _guard("I3", "a token ends", f"{_TOKEN}::test_expired_and_not_yet_valid", _TOKENS, "if now >= claims.exp + skew:"),
    _guard(
        "I3",
        "a token begins",
        f"{_TOKEN}::test_expired_and_not_yet_valid",
        _TOKENS,
        "if claims.nbf is not None and now < claims.nbf - skew:",
    ),
    _guard(
        "I3",
        "a token is valid for a while only",
        f"{_TOKEN}::test_a_token_for_ever_is_refused",
        _TOKENS,
        "if claims.exp - begins > longest + skew:",
    ),
    _guard(
        "I4",
        "kept keys of a provider end",
        f"{_TOKEN}::test_the_plane_goes_on_while_the_provider_is_down",
        _ISSUERS,
        "if self._age(kept) > allowed:",
    ),
    _guard(
        "I5",
        "nobody approves a plan of their own",
        _RULES_HOLD,
        _RULES,
        "when { resource.initiator == principal.person };",
        "when { false };",
    ),
    _guard(
        "I5",
        "an identity that has expired acts no more",
        _RULES_HOLD,
        _RULES,
        "when { principal has until && context.now >= principal.until };",
        "when { false };",
    ),
    _guard("I5", "an API key stays in its scopes", _RULES_HOLD, _RULES, "when { principal.limited }", "when { false }"),
    _guard(
        "I6",
        "what one forbids is denied",
        f"{_PROPERTY}::test_a_forbid_beats_every_permit",
        "authority/deciding.py",
        "return Decision(not forbids,",
        "return Decision(True,",
    ),
    _guard(
        "I6",
        "nobody may nothing",
        f"{_PROPERTY}::test_nobody_may_nothing",
        "authority/deciding.py",
        'return Decision(False, (), ("nobody is identified",))',
        'return Decision(True, (), ("nobody is identified",))',
    ),
    _guard(
        "I6",
        "a policy that cannot be evaluated denies",
        f"{_PROPERTY}::test_what_cannot_be_is_denied",
        "authority/deciding.py",
        "    if errors:\n        return Decision(False",
        "    if False:\n        return Decision(False",
    ),
    _guard(
        "I6",
        "a member of one vault is nobody in another",
        f"{_PROPERTY}::test_a_member_of_one_vault_is_nobody_in_another",
        "authority/defaults/members.cedar",
        'permit (principal is Member in Role::"member-keeper", action, resource)\n'
        "when { resource in principal.vault };",
        'permit (principal is Member in Role::"member-keeper", action, resource);',
    ),
    _guard(
        "I7",
        "only who is listed begins break-glass",
        f"{_AUTHORISING}::TestBreakGlass::test_only_who_is_listed",
        _RULES,
        'unless { principal in Role::"break-glass" };',
        "unless { true };",
    ),
    _guard(
        "I7",
        "break-glass destroys nothing",
        f"{_AUTHORISING}::TestBreakGlass::test_it_destroys_nothing",
        _RULES,
        'when { context has breakGlass }\nunless { context.action == "break-glass" };',
        "when { false };",
    ),
    _guard(
        "I7",
        "a session is of one",
        f"{_AUTHORISING}::TestBreakGlass::test_somebody_elses_session_elevates_nobody",
        "authority/break_glass.py",
        "if session.principal != _name(principal) or not",
        "if not",
    ),
    _guard(
        "I7",
        "a session ends with the listing",
        f"{_AUTHORISING}::TestBreakGlass::test_it_ends_for_whoever_is_taken_off_the_list",
        "authority/break_glass.py",
        "if BREAK_GLASS_ROLE not in principal.roles(now_ns):",
    ),
    _guard(
        "I8",
        "nothing is done under break-glass that no log takes",
        f"{_AUTHORISING}::TestBreakGlass::test_what_cannot_be_recorded_is_not_done",
        "control/authority/authorising.py",
        "        if required and not kept:",
        "        if False:",
    ),
    _guard(
        "I8",
        "who is refused is in the record",
        f"{_AUTHORISING}::test_a_bad_token_is_refused_with_a_sentence_logged_and_exit_7",
        "control/authority/authorising.py",
        "        self._record(denial_record(error.message, at_ns=now, origin=self.origin), required=False)",
        "        pass",
    ),
    _guard(
        "I9",
        "the secret of an API key is compared",
        f"{_KEY}::test_an_unknown_key_and_a_wrong_secret_are_told_alike",
        _KEYS,
        "if not hmac.compare_digest(_hash(register, key), kept) or record is None:",
        "if record is None:",
    ),
    _guard(
        "I9",
        "a revoked API key is refused",
        f"{_KEY}::test_a_revoked_key_counts_no_more",
        _KEYS,
        "if record.revoked is not None:",
    ),
    _guard(
        "I9",
        "a revoked API key stays so",
        f"{_KEY}::test_a_revoked_key_counts_no_more_whatever_the_clock_says",
        _KEYS,
        "if record.revoked is not None:",
        "if record.revoked is not None and record.revoked <= now_ns:",
    ),
    _guard(
        "I9",
        "an API key ends",
        f"{_KEY}::test_a_key_has_its_time",
        _KEYS,
        "if record.expires is not None and record.expires <= now_ns:",
    ),
    _guard(
        "I10",
        "a certificate leads to an authority",
        f"{_CERTIFICATE}::test_a_chain_must_lead_to_an_authority",
        _CERTIFICATES,
        "        return verifier.verify(leaf, others).chain",
        "        return [leaf]",
    ),
    _guard(
        "I10",
        "a revoked certificate is refused",
        f"{_CERTIFICATE}::test_a_revoked_certificate",
        _CERTIFICATES,
        'revoked = {one.lower().lstrip("0") for one in rules.revoked}',
        "revoked: set[str] = set()",
    ),
    _guard(
        "I10",
        "one of a revoked authority is refused",
        f"{_CERTIFICATE}::test_a_revoked_authority_on_the_way",
        _CERTIFICATES,
        "    for one in chain:",
        "    for one in chain[:1]:",
    ),
    _guard(
        "I11",
        "policies that others may write are not believed",
        f"{_POLICY}::test_policies_that_others_may_write_are_not_believed",
        "authority/policy_folder.py",
        "if status.st_mode & 0o022 or status.st_uid not in (0, os.geteuid()):",
    ),
    _guard(
        "I11",
        "nor is a last good set that they may write",
        f"{_POLICY}::test_a_last_good_set_that_others_may_write_is_not_believed",
        "authority/policy_folder.py",
        "            check_owner(path, os.fstat(file.fileno()))",
        "            pass",
    ),
    _guard(
        "I11",
        "the last good policies go on deciding",
        f"{_POLICY}::test_the_last_good_set_stays_in_force_and_this_is_said",
        "authority/policy_folder.py",
        "        if before is None:\n            raise",
        "        if True:\n            raise",
    ),
    _guard(
        "I12",
        "keys decide, whatever policies say",
        "tests/recovery/test_threats.py::test_an_owner_by_policy_reads_nothing_without_a_key_that_reads",
        "vault/format/keys.py",
        "        if not self.can_read:\n",
        "        if False:\n",
    ),
    _guard(
        "I13",
        "a server's certificate is verified",
        "tests/unit/authority/test_fetching.py::test_a_server_that_no_authority_vouches_for",
        "authority/fetching.py",
        "context = ssl.create_default_context(cafile=authorities)",
        "context = ssl._create_unverified_context()",
    ),
    _guard(
        "I13",
        "an answer has an end",
        "tests/unit/authority/test_fetching.py::test_an_answer_without_end",
        "authority/fetching.py",
        "if len(body) > DOCUMENT_BYTES_MAX:",
    ),
    _guard(
        "I13",
        "an answer ends in time",
        "tests/unit/authority/test_fetching.py::test_headers_and_a_handshake_that_come_drop_by_drop",
        "authority/fetching.py",
        "        over.set()\n",
        "        return\n",
    ),
]
