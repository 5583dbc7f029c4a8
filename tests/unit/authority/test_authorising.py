"""The port that commands and services ask: who it is, what the answer is, and that both are recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from holdfast.authority.principals import ANONYMOUS
from holdfast.authority.resources import PLANE, asset_resource, plan_resource, vault_resource
from holdfast.clock import ManualClock
from holdfast.control.authority import decision_log
from holdfast.control.authority.api_key_files import create_api_key, revoke_api_key
from holdfast.control.authority.authorising import Authority, Member, member_of
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.control.authority.decision_log import DecisionRecord
from holdfast.control.keys.key_files import export_reader, export_writer
from holdfast.control.vaults.opening import create, open_at
from holdfast.errors import CredentialError, FailedError, PermissionDeniedError, RefusedError, UsageError
from holdfast.testing.identity_provider import IdentityProvider

VAULT = "a" * 32
SEALED = vault_resource(VAULT, encrypted=True)
MODEL = asset_resource(SEALED, "llama")
KEEPER = Member(VAULT, "keeper", "keeper", "f" * 32)


class Notes(list):
    def phase(self, name: str, total_bytes: int | None) -> None: ...
    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None: ...
    def note(self, message: str) -> None:
        self.append(message)


class Place:
    """A home folder, its environment, its clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.notes = folder, ManualClock(1_800_000_000 * 10**9), Notes()
        self.environment = {f"XDG_{kind.upper()}_HOME": str(folder / kind) for kind in ("config", "state", "cache")}
        self.config = folder / "config" / "holdfast"
        self.config.mkdir(parents=True)

    def authority(self, *logs, **environment: str) -> Authority:
        """As a new process has it."""
        home = AuthorityHome(self.environment | environment, self.clock, self.notes)
        return Authority(home, list(logs))

    def settings(self, **content: object) -> None:
        (self.config / "authority.yaml").write_text(json.dumps({"version": 1, **content}))

    def policy(self, text: str) -> None:
        (self.config / "policies").mkdir(exist_ok=True)
        (self.config / "policies" / "mine.cedar").write_text(text)

    def secret(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content + b"\n")
        path.chmod(0o600)
        return str(path)

    def records(self, name: str = "decisions.jsonl") -> list[DecisionRecord]:
        path = self.folder / "state" / "holdfast" / name
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [msgspec.json.decode(line, type=DecisionRecord) for line in lines]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def provider(place: Place) -> Iterator[IdentityProvider]:
    with IdentityProvider(place.clock) as found:
        yield found


class Log:
    """A log of decisions that may be out of order."""

    def __init__(self, *, broken: bool = False) -> None:
        self.entries: list[tuple[DecisionRecord, bool]] = []
        self.broken = broken

    def record(self, entry: DecisionRecord, *, required: bool) -> None:
        if self.broken:
            raise FailedError("the log is full")
        self.entries.append((entry, required))


def test_without_anything_a_member_may_what_its_key_can(place: Place) -> None:
    authority = place.authority()
    for role, allowed, denied in (
        ("writer", "save", "restore"),
        ("reader", "restore", "save"),
        ("keeper", "save", None),
    ):
        who = authority.identify(Member(VAULT, role, f"my-{role}"))
        assert authority.authorise(who, allowed, MODEL).policies == (
            {"writer": "member-writer-adds", "reader": "member-reader-reads", "keeper": "member-keeper-keeps"}[role],
        )
        if denied is not None:
            with pytest.raises(PermissionDeniedError) as caught:
                authority.authorise(who, denied, MODEL)
            assert caught.value.exit_code == 7
            may = "operator, keeper, owner" if denied == "restore" else "trainer, operator, keeper, owner"
            assert caught.value.hint == f"roles that may: {may}"
    assert [(one.action, one.decision) for one in place.records()] == [
        ("save", "allow"),
        ("restore", "deny"),
        ("restore", "allow"),
        ("save", "deny"),
        ("save", "allow"),
    ]
    assert place.records()[0].principal is not None
    assert place.records()[0].principal["person"] == f"member:{VAULT}/my-writer"


def test_nobody_reads_what_is_public_and_copies_what_is_sealed(place: Place) -> None:
    authority = place.authority()
    nobody = authority.identify()
    assert nobody == ANONYMOUS
    assert authority.authorise(nobody, "restore", asset_resource(vault_resource(VAULT, encrypted=False), "llama"))
    assert authority.authorise(nobody, "replicate", SEALED)
    for action, resource in (("restore", MODEL), ("save", MODEL), ("collect", SEALED), ("break-glass", PLANE)):
        with pytest.raises(PermissionDeniedError):
            authority.authorise(nobody, action, resource)
    with pytest.raises(PermissionDeniedError, match="nobody"):
        authority.authorise(None, "restore", MODEL)
    assert place.records()[-1].principal is None


def test_a_policy_of_ones_own_narrows_what_members_may(place: Place) -> None:
    place.policy(
        '@id("not-llama") @reason("llama is frozen")\n'
        'forbid (principal, action in Action::"adding", resource is Asset) when { resource.name == "llama" };'
    )
    authority = place.authority()
    keeper = authority.identify(KEEPER)
    with pytest.raises(PermissionDeniedError, match="member keeper may not save asset llama: llama is frozen"):
        authority.authorise(keeper, "save", MODEL)
    assert authority.authorise(keeper, "save", asset_resource(SEALED, "other"))
    assert place.records()[0].policies == ["not-llama"]


def test_a_token_goes_before_the_key_of_a_member(place: Place, provider: IdentityProvider) -> None:
    place.settings(
        issuers=[{"issuer": provider.issuer, "audience": "holdfast", "algorithms": ["ES256"]}],
        grants=[{"to": "group:oncall", "roles": ["operator"], "until": "2027-01-15T09:00Z"}],
    )
    token = place.secret("token", provider.token("ann", groups=["oncall"]))
    authority = place.authority(HOLDFAST_TOKEN_FILE=token)
    ann = authority.identify(KEEPER)
    assert str(ann) == "user ann"
    assert authority.authorise(ann, "restore", MODEL).policies == ("operator-reads",)
    with pytest.raises(PermissionDeniedError, match="no policy permits user ann, who is operator, to free"):
        authority.authorise(ann, "collect", SEALED)
    place.clock.sleep(3600)  # the grant ends at 9, and so does the token
    with pytest.raises(PermissionDeniedError, match="has expired"):
        authority.authorise(ann, "restore", MODEL)
    assert [one.decision for one in place.records()] == ["allow", "deny", "deny"]


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (lambda idp: idp.forged_unsigned(), "not signed at all"),
        (lambda idp: idp.forged_with_public_key(), "HS256"),
        (lambda idp: idp.token(aud="other"), "not for 'holdfast'"),
        (lambda idp: idp.token(iss="https://evil.example"), "issuer"),
        (lambda idp: idp.token(lasts=-3600), "has expired 1 h 00 min ago"),
        (lambda idp: idp.token(nbf=2_000_000_000), "not valid yet"),
        (lambda idp: idp.token(header={"kid": "other"}), "does not publish"),
        (lambda idp: b"x" * 30_000, "more than"),
        (lambda idp: b"hello", "three parts"),
    ],
)
def test_a_bad_token_is_refused_with_a_sentence_logged_and_exit_7(
    place: Place, provider: IdentityProvider, token, said: str
) -> None:
    place.settings(issuers=[{"issuer": provider.issuer, "audience": "holdfast", "algorithms": ["ES256"]}])
    text = token(provider)
    for ask in (
        lambda: place.authority(HOLDFAST_TOKEN_FILE=place.secret("token", text)).identify(KEEPER),
        lambda: place.authority().identify_bearer(text),
    ):
        before = len(place.records())
        with pytest.raises(CredentialError, match=said) as caught:
            ask()
        assert caught.value.exit_code == 7
        [entry] = place.records()[before:]
        assert (entry.action, entry.decision, entry.reasons) == ("authenticate", "deny", [caught.value.message])
        assert text[-30:].decode() not in msgspec.json.encode(entry).decode()


def test_an_api_key_from_a_file_and_from_a_header(place: Place) -> None:
    home = place.authority().home
    file = place.folder / "ci.key"
    _, key = create_api_key(home, "ci", roles=["trainer"], scopes=["save"], expires="30d", to=file)
    assert file.stat().st_mode & 0o777 == 0o600
    authority = place.authority(HOLDFAST_API_KEY_FILE=str(file))
    for who in (authority.identify(), place.authority().identify_bearer(key.text.encode())):
        assert authority.authorise(who, "save", MODEL).policies == ("trainer-adds",)
        with pytest.raises(PermissionDeniedError, match="limited to other actions"):
            authority.authorise(who, "tag", MODEL)
    revoke_api_key(home, "ci")
    with pytest.raises(CredentialError, match="was revoked"):
        place.authority(HOLDFAST_API_KEY_FILE=str(file)).identify()
    file.chmod(0o644)
    with pytest.raises(PermissionDeniedError, match="open to others"):
        place.authority(HOLDFAST_API_KEY_FILE=str(file)).identify()
    assert [one.decision for one in place.records()][-2:] == ["deny", "deny"]
    with pytest.raises(UsageError, match="neither an action nor a group"):
        create_api_key(home, "x", roles=[], scopes=["saving"])


def test_two_identities_are_one_too_many(place: Place) -> None:
    one = place.secret("one", b"x")
    with pytest.raises(CredentialError, match="both set"):
        place.authority(HOLDFAST_TOKEN_FILE=one, HOLDFAST_API_KEY_FILE=one).identify()


def test_a_policy_that_is_wrong_denies_with_file_and_line_and_is_logged(place: Place) -> None:
    place.policy("permit (principal,\n actionn, resource);")
    authority = place.authority()
    with pytest.raises(CredentialError, match=r"mine\.cedar, line 2") as caught:
        authority.authorise(authority.identify(KEEPER), "save", MODEL)
    assert caught.value.exit_code == 7
    assert place.records()[-1].reasons == [caught.value.message]


def test_the_last_good_policies_go_on_deciding(place: Place) -> None:
    place.policy('@id("closed") forbid (principal, action == Action::"save", resource);')
    with pytest.raises(PermissionDeniedError):
        place.authority().authorise(place.authority().identify(KEEPER), "save", MODEL)
    place.policy("forbid (")
    authority = place.authority()
    with pytest.raises(PermissionDeniedError, match="the policy closed says so"):
        authority.authorise(authority.identify(KEEPER), "save", MODEL)
    assert any("stay in force" in note for note in place.notes)
    assert any("mine.cedar, line 1" in finding for finding in authority.findings())


def test_the_same_label_in_another_vault_is_somebody_else(place: Place) -> None:
    place.settings(grants=[{"to": f"member:{VAULT}/keeper", "roles": ["owner"]}])
    authority = place.authority()
    assert authority.authorise(authority.identify(KEEPER), "policy.change", PLANE)
    with pytest.raises(PermissionDeniedError):
        authority.authorise(authority.identify(Member("b" * 32, "keeper", "keeper")), "policy.change", PLANE)


def test_settings_that_others_may_write_are_not_believed(place: Place) -> None:
    place.settings()
    (place.config / "authority.yaml").chmod(0o666)
    with pytest.raises(CredentialError, match="may be written by others"):
        place.authority().identify(KEEPER)


def test_settings_that_are_wrong_let_nobody_in(place: Place) -> None:
    place.settings(issuerz=[])
    with pytest.raises(CredentialError, match=r"authority\.yaml, line 1: nothing is called `issuerz`"):
        place.authority().identify(KEEPER)
    assert place.records()[-1].action == "authenticate"


class TestBreakGlass:
    PLAN = plan_resource("to-eu", initiator="user:x#ben")

    @pytest.fixture
    def ready(self, place: Place) -> Place:
        place.settings(break_glass={"who": [f"member:{VAULT}/keeper"], "longest": "2h"})
        return place

    def test_it_opens_what_recovery_needs_for_a_while_and_every_record_says_so(self, ready: Place) -> None:
        audit = Log()
        authority = ready.authority(audit)
        keeper = authority.identify(KEEPER)
        with pytest.raises(PermissionDeniedError):
            authority.authorise(keeper, "recover.run", self.PLAN)
        session = authority.break_glass(keeper, "us-east is on fire, nobody answers", lasts="1h")
        authority = ready.authority(audit)
        elevated = authority.identify(KEEPER)
        assert [
            note for note in ready.notes if note.startswith(f"BREAK-GLASS session {session.id} of vault member keeper")
        ]
        assert authority.authorise(elevated, "recover.run", self.PLAN).policies == ("break-glass-acts",)
        records = [entry for entry, required in audit.entries if required]
        assert [entry.action for entry in records] == ["break-glass.begin", "recover.run"]
        for entry in (*records, *ready.records("break-glass.jsonl")):
            assert entry.break_glass == {"id": session.id, "reason": "us-east is on fire, nobody answers"}
        assert any(session.id in finding for finding in authority.findings())
        ready.clock.sleep(3600)
        with pytest.raises(PermissionDeniedError):
            authority.authorise(elevated, "recover.run", self.PLAN)
        assert ready.authority().identify(KEEPER).elevation is None
        assert ready.authority().findings() == []

    def test_it_ends_for_whoever_is_taken_off_the_list(self, ready: Place) -> None:
        authority = ready.authority()
        authority.break_glass(authority.identify(KEEPER), "an incident, number 12", lasts="1h")
        assert ready.authority().identify(KEEPER).elevation is not None
        ready.settings(break_glass={"who": [f"member:{VAULT}/ann"], "longest": "2h"})
        assert ready.authority().identify(KEEPER).elevation is None

    def test_it_destroys_nothing(self, ready: Place) -> None:
        authority = ready.authority()
        authority.break_glass(authority.identify(KEEPER), "an incident, number 12", lasts="1h")
        elevated = ready.authority().identify(KEEPER)
        for action in ("collect", "key.rotate", "retention.apply"):
            with pytest.raises(PermissionDeniedError, match="under break-glass nothing is destroyed"):
                ready.authority().authorise(elevated, action, SEALED)
        ready.authority().end_break_glass()
        again = ready.authority().identify(KEEPER)
        assert ready.authority().authorise(again, "collect", SEALED)

    def test_only_who_is_listed(self, ready: Place) -> None:
        ready.policy("permit (principal, action, resource);")
        authority = ready.authority()
        with pytest.raises(PermissionDeniedError, match="not listed for break-glass"):
            authority.break_glass(authority.identify(Member(VAULT, "keeper", "other")), "an incident, 12", lasts="1h")
        assert ready.records()[-1].decision == "deny"
        assert ready.authority().identify(Member(VAULT, "keeper", "other")).elevation is None

    @pytest.mark.parametrize("reason", ["", "urgent", "aaaaaaaaaaaaaaaaa", "x" * 501, "          \n    "])
    def test_a_reason_that_says_nothing(self, ready: Place, reason: str) -> None:
        authority = ready.authority()
        with pytest.raises(UsageError, match="reason that others understand"):
            authority.break_glass(authority.identify(KEEPER), reason, lasts="1h")

    def test_not_for_longer_than_the_settings_say(self, ready: Place) -> None:
        authority = ready.authority()
        for lasts in ("3h", "0s"):
            with pytest.raises(UsageError, match="up to 2 h"):
                authority.break_glass(authority.identify(KEEPER), "an incident, number 12", lasts=lasts)

    def test_somebody_elses_session_elevates_nobody(self, ready: Place) -> None:
        authority = ready.authority()
        authority.break_glass(authority.identify(KEEPER), "an incident, number 12", lasts="1h")
        assert ready.authority().identify(Member("b" * 32, "keeper", "keeper")).elevation is None
        assert ready.authority().identify(Member(VAULT, "writer", "keeper")).elevation is None
        with pytest.raises(RefusedError, match="in force already"):
            authority.break_glass(authority.identify(KEEPER), "another incident", lasts="1h")

    def test_a_damaged_session_elevates_nobody_and_is_said(self, ready: Place) -> None:
        path = ready.folder / "state" / "holdfast" / "break-glass.json"
        path.parent.mkdir(parents=True)
        path.write_text("{}")
        path.chmod(0o600)
        assert ready.authority().identify(KEEPER).elevation is None
        assert "no break-glass session is in force" in ready.notes[-1]
        assert ["no break-glass session is in force" in one for one in ready.authority().findings()] == [True]

    def test_what_cannot_be_recorded_is_not_done(self, ready: Place) -> None:
        authority = ready.authority()
        authority.break_glass(authority.identify(KEEPER), "an incident, number 12", lasts="1h")
        elevated = ready.authority().identify(KEEPER)
        state = ready.folder / "state" / "holdfast"
        (state / "decisions.jsonl").unlink()
        (state / "decisions.jsonl").mkdir()
        with pytest.raises(RefusedError, match="cannot be recorded"):
            ready.authority(Log(broken=True)).authorise(elevated, "restore", MODEL)
        assert ready.authority(Log()).authorise(elevated, "restore", MODEL)  # one log is enough
        plain = ready.authority().identify(Member(VAULT, "reader", "r"))
        ready.notes.clear()
        assert ready.authority(Log(broken=True)).authorise(plain, "restore", MODEL)  # loud, and the work goes on
        assert [note for note in ready.notes if "was not recorded: the log is full" in note]


def test_a_service_sees_what_changed_and_keeps_what_it_fetched(place: Place, provider: IdentityProvider) -> None:
    place.settings(issuers=[{"issuer": provider.issuer, "audience": "holdfast", "algorithms": ["ES256"]}])
    home = place.authority().home
    authority = Authority(home)
    ann = authority.identify_bearer(provider.token("ann"))
    with pytest.raises(PermissionDeniedError):
        authority.authorise(ann, "save", MODEL)
    place.policy('permit (principal is User, action == Action::"save", resource);')
    with pytest.raises(PermissionDeniedError):
        authority.authorise(ann, "save", MODEL)
    asked = len(provider.requests)
    later = Authority(home.renewed())
    assert later.authorise(later.identify_bearer(provider.token("ann")), "save", MODEL)
    assert len(provider.requests) == asked


def test_two_who_find_the_log_full_at_once_lose_nothing_of_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have written to the full file; the second must not put the new, short one over what the first put aside."""
    monkeypatch.setattr(decision_log, "ROTATE_BYTES", 2_000)
    authority = place.authority()
    principal = authority.identify(KEEPER)
    rotate = decision_log._rotate

    def late(path: Path) -> None:
        rotate(path)
        authority.authorise(principal, "save", MODEL)  # a third process, into the new file
        rotate(path)  # and only now the second one, which saw the old one full

    monkeypatch.setattr(decision_log, "_rotate", late)
    count = 0
    while not place.records("decisions.jsonl.1"):
        authority.authorise(principal, "save", MODEL)
        count += 1
    assert len(place.records("decisions.jsonl.1")) == count
    assert len(place.records()) == 1


def test_the_local_log_does_not_grow_for_ever(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_log, "ROTATE_BYTES", 2_000)
    authority = place.authority()
    keeper = authority.identify(KEEPER)
    for _ in range(19):
        authority.authorise(keeper, "save", MODEL)
    state = place.folder / "state" / "holdfast"
    names = {one.name for one in state.iterdir()}
    assert "decisions.jsonl.1" in names <= {"decisions.jsonl", "decisions.jsonl.1"}
    assert all(one.stat().st_size < 3_000 and one.stat().st_mode & 0o777 == 0o600 for one in state.iterdir())


def test_members_are_what_their_keys_prove(place: Place, tmp_path: Path) -> None:
    """Real key files of a real vault: each is identified by what the vault's configuration says of it."""
    environment = place.environment
    made = create(str(tmp_path / "vault"), environment=environment)
    export_writer(made.vault, "gpu-1", tmp_path / "w.key")
    export_reader(made.vault, "ann", tmp_path / "r.key")
    found = {}
    for file in (made.key_file, tmp_path / "w.key", tmp_path / "r.key"):
        opened = open_at(str(tmp_path / "vault"), environment=environment | {"HOLDFAST_KEY_FILE": str(file)})
        who = place.authority().identify(member_of(opened))
        found[who.name] = who.roles(0), bool(dict(who.attributes).get("fingerprint")), who.vault == opened.id
    assert found == {
        "keeper": ({"member-keeper"}, True, True),
        "gpu-1": ({"member-writer"}, True, True),
        "ann": ({"member-reader"}, False, True),
    }
    public = create(str(tmp_path / "public"), encryption=False, environment=environment)
    public.key_file.unlink()
    opened = open_at(str(tmp_path / "public"), environment=environment)
    assert place.authority().identify(member_of(opened)).kind == "Anonymous"
