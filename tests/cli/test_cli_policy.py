"""`holdfast policy`: checking, explaining, the table, break-glass, API keys."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal import Terminal

from holdfast.authority.actions import ACTIONS
from holdfast.testing.identity_provider import IdentityProvider


@pytest.fixture
def config(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOLDFAST_AUTHORITY", "HOLDFAST_TOKEN_FILE", "HOLDFAST_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    folder = terminal.folder.parent / "config" / "holdfast"
    (folder / "policies").mkdir(parents=True)
    return folder


@pytest.fixture
def provider(config: Path) -> Iterator[IdentityProvider]:
    with IdentityProvider() as found:
        issuer = {"issuer": found.issuer, "audience": "holdfast", "algorithms": ["ES256"]}
        grants = [{"to": "group:oncall", "roles": ["operator"]}]
        (config / "authority.yaml").write_text(json.dumps({"version": 1, "issuers": [issuer], "grants": grants}))
        yield found


def records(terminal: Terminal) -> list[dict]:
    path = terminal.folder.parent / "state" / "holdfast" / "decisions.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_check_says_what_is_in_force(terminal: Terminal, config: Path) -> None:
    assert terminal.json("policy-check", "policy", "check")["in_force"] == "defaults"
    (config / "policies" / "mine.cedar").write_text('@id("a")\nforbid (principal, action == Action::"drop", resource);')
    said = terminal.ok("policy", "check")
    assert said.fact("policies") == "1 in 1 file, and 26 that are built in"
    assert said.fact("in force") == "folder"
    assert said.last.startswith("checked 1 file: 0 problems, in ")


def test_check_names_file_and_line_of_all_that_is_wrong(terminal: Terminal, config: Path) -> None:
    (config / "policies" / "a.cedar").write_text('permit (principal, action == Action::"fly", resource);\n')
    (config / "policies" / "b.cedar").write_text("\npermit (principal, action, resource)\nwhen { 1 + };\n")
    (config / "authority.yaml").write_text("version: 1\nissuer: x\n")
    found = terminal.json("policy-check", "policy", "check", code=7)
    assert found["in_force"] == "nothing"
    messages = [one["message"] for one in found["problems"]]
    assert messages[0] == 'a.cedar, line 1: unrecognized action `Action::"fly"`'
    assert messages[1] == "b.cedar, line 3: unexpected token `}`"
    assert messages[2].endswith("authority.yaml, line 2: nothing is called `issuer`")
    said = terminal.run("policy", "check")
    assert said.code == 7
    assert said.err.count("warning:") == 3


def test_the_last_good_set_is_a_finding(terminal: Terminal, config: Path) -> None:
    mine = config / "policies" / "mine.cedar"
    mine.write_text('@id("frozen") forbid (principal, action == Action::"save", resource);')
    ask = ("policy", "explain", "--as", "trainer", "--action", "save", "--resource", "asset:llama")
    assert terminal.json("policy-explain", *ask)["decision"] == "deny"
    mine.write_text("forbid (")
    said = terminal.run(*ask)
    assert "stay in force" in said.err and said.fact("decision") == "deny"
    found = terminal.json("policy-check", "policy", "check", code=7)
    assert found["in_force"] == "last good"
    assert "mine.cedar, line 1" in found["findings"][0]


def test_check_reads_another_folder(terminal: Terminal, config: Path) -> None:
    (terminal.folder / "new").mkdir()
    (terminal.folder / "new" / "x.cedar").write_text("permit (")
    found = terminal.json("policy-check", "policy", "check", "new", code=7)
    assert (found["in_force"], len(found["problems"])) == (None, 1)
    assert terminal.run("policy", "check", "absent").code == 2


def test_explain_says_why_and_by_which_policies(terminal: Terminal, config: Path) -> None:
    found = terminal.json(
        "policy-explain", "policy", "explain", "--as", "operator", "--action", "restore", "--resource", "asset:llama"
    )
    assert (found["decision"], found["roles"]) == ("allow", ["operator"])
    [rule] = found["policies"]
    assert (rule["id"], rule["effect"], rule["file"]) == ("operator-reads", "permit", "holdfast:operator.cedar")
    held = ("--resource", "snapshot:llama@01x", "--fact", "held=yes")
    said = terminal.ok("policy", "explain", "--as", "owner", "--action", "drop", *held)
    assert said.fact("because") == "the snapshot is held"
    assert said.last.startswith("denied: drop on snapshot llama@01x; in ")
    own = ("--resource", "plan:p", "--fact", "initiator=some operator")
    said = terminal.ok("policy", "explain", "--as", "operator", "--action", "approve", *own)
    assert said.fact("because") == "nobody approves a plan that they initiated"


@pytest.mark.parametrize(
    ("who", "action", "resource", "code"),
    [
        ("trainer", "fly", "vault", 2),
        ("nobody", "save", "vault", 2),
        ("group:", "save", "vault", 2),
        ("trainer", "save", "moon", 2),
        ("trainer", "save", "asset:", 2),
        ("trainer", "drop", "snapshot:llama", 2),
        ("api-key:none", "save", "asset:x", 3),
    ],
)
def test_explain_refuses_what_it_does_not_know(
    terminal: Terminal, config: Path, who: str, action: str, resource: str, code: int
) -> None:
    said = terminal.run("policy", "explain", "--as", who, "--action", action, "--resource", resource)
    assert said.code == code, said
    assert "error:" in said.err


def test_explain_of_whoever_has_grants(terminal: Terminal, config: Path) -> None:
    grants = [
        {"to": "machine:spiffe://x/1", "roles": ["trainer"]},
        {"to": "user:https://idp#ann", "roles": ["auditor"]},
        {"to": "group:old", "roles": ["owner"], "until": "2020-01-01"},
    ]
    (config / "authority.yaml").write_text(json.dumps({"grants": grants}))
    for who, roles in (("machine:spiffe://x/1", ["trainer"]), ("user:https://idp#ann", ["auditor"]), ("group:old", [])):
        ask = ("policy", "explain", "--as", who, "--action", "verify", "--resource", "asset:x")
        assert terminal.json("policy-explain", *ask)["roles"] == roles


def test_the_table_is_of_the_policies_in_force(terminal: Terminal, config: Path) -> None:
    said = terminal.ok("policy", "table")
    assert all(len(line) <= 80 for line in said.out.splitlines())
    assert {line.split()[0] for line in said.out.splitlines() if line and line.split()[0] in ACTIONS} == set(ACTIONS)
    rows = terminal.json("policy-table", "policy", "table")["rows"]
    [save] = [row for row in rows if row["action"] == "save"]
    assert "trainer" in save["allowed"]
    (config / "policies" / "mine.cedar").write_text(
        '@id("frozen") forbid (principal, action == Action::"save", resource);'
    )
    rows = terminal.json("policy-table", "policy", "table")["rows"]
    [save] = [row for row in rows if row["action"] == "save"]
    assert save["allowed"] == [] and save["policies"]["owner"] == ["frozen"]


def test_a_token_says_who_i_am(terminal: Terminal, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    file = terminal.folder / "token"
    file.write_bytes(provider.token("ann", groups=["oncall"]))
    file.chmod(0o600)
    monkeypatch.setenv("HOLDFAST_TOKEN_FILE", str(file))
    ask = ("policy", "explain", "--as", "me", "--action", "restore", "--resource", "asset:llama")
    found = terminal.json("policy-explain", *ask)
    assert (found["principal"], found["roles"], found["decision"]) == ("user ann", ["operator"], "allow")


@pytest.mark.parametrize("kind", ["none", "audience", "expired", "future"])
def test_a_bad_token_is_refused_with_a_sentence_logged_and_exit_7(
    terminal: Terminal, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    token, said = {
        "none": (provider.forged_unsigned(), "not signed at all"),
        "audience": (provider.token(aud="other"), "not for 'holdfast'"),
        "expired": (provider.token(lasts=-600), "has expired"),
        "future": (provider.token(iat=None, nbf=4_000_000_000, exp=4_000_000_600), "not valid yet"),
    }[kind]
    file = terminal.folder / "token"
    file.write_bytes(token)
    file.chmod(0o600)
    monkeypatch.setenv("HOLDFAST_TOKEN_FILE", str(file))
    found = terminal.run("policy", "explain", "--as", "me", "--action", "restore", "--resource", "asset:llama")
    assert found.code == 7
    assert said in found.err
    assert token[-20:].decode() not in found.err + found.out
    [record] = records(terminal)
    assert (record["action"], record["decision"]) == ("authenticate", "deny")
    assert said in record["reasons"][0]


def test_an_api_key_is_shown_once(terminal: Terminal, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = terminal.json(
        "policy-api-key-create", "policy", "api-key", "create", "ci", "--role", "trainer", "--scope", "save"
    )
    key, facts = made["key"], made["api_key"]
    assert key.startswith(f"hfk_{facts['id']}_") and len(key) == 78
    listed = terminal.ok("policy", "api-key", "list")
    assert facts["id"] in listed.out and key[21:73] not in listed.out
    assert listed.last.startswith("listed 1 API key in ")
    assert key[21:73] not in (config / "api-keys.json").read_text()
    file = terminal.folder / "key"
    file.write_text(key)
    file.chmod(0o600)
    monkeypatch.setenv("HOLDFAST_API_KEY_FILE", str(file))
    ask = ("policy", "explain", "--as", "me", "--resource", "asset:llama", "--action")
    assert terminal.json("policy-explain", *ask, "save")["decision"] == "allow"
    assert terminal.json("policy-explain", *ask, "tag")["decision"] == "deny"
    asked = ("policy", "explain", "--as", "api-key:ci", "--resource", "asset:llama", "--action", "tag")
    assert terminal.json("policy-explain", *asked)["policies"][0]["id"] == "outside-scope"
    monkeypatch.delenv("HOLDFAST_API_KEY_FILE")  # with it, this key would have to be allowed to
    gone = terminal.json("policy-api-key-revoke", "policy", "api-key", "revoke", "ci")
    assert gone["api_key"]["state"] == "revoked"
    with monkeypatch.context() as with_key:
        with_key.setenv("HOLDFAST_API_KEY_FILE", str(file))
        said = terminal.run(*ask, "save")
    assert said.code == 7 and "was revoked at" in said.err
    assert terminal.run("policy", "api-key", "revoke", "ci").code == 5
    assert terminal.run("policy", "api-key", "revoke", "other").code == 3


def test_api_keys_are_made_by_who_may_and_that_is_recorded(
    terminal: Terminal, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.ok("policy", "api-key", "create", "trainer-1", "--role", "trainer", "--to", "trainer.key")
    terminal.ok("policy", "api-key", "create", "boss", "--role", "owner", "--to", "owner.key")
    for file, code in (("trainer.key", 7), ("owner.key", 0)):
        monkeypatch.setenv("HOLDFAST_API_KEY_FILE", str(terminal.folder / file))
        assert (
            terminal.run("policy", "api-key", "create", "evil", "--role", "owner", "--to", f"{code}.key").code == code
        )
        assert terminal.run("policy", "api-key", "list").code == code
        assert terminal.run("policy", "api-key", "revoke", "evil").code == code
    decisions = Path(os.environ["XDG_STATE_HOME"]) / "holdfast" / "decisions.jsonl"
    records = [json.loads(line) for line in decisions.read_text().splitlines()]
    done = [
        (one["action"], one["principal"]["kind"], one["resource"]["name"])
        for one in records
        if one["reasons"] == ["done"]
    ]
    assert done == [
        ("api-key.create", "Local", "trainer-1"),
        ("api-key.create", "Local", "boss"),
        ("api-key.create", "ApiKey", "evil"),
        ("api-key.revoke", "ApiKey", "evil"),
    ]
    assert [one["action"] for one in records if one["decision"] == "deny"] == [
        "api-key.create",
        "api-key.list",
        "api-key.revoke",
    ]


def test_an_api_key_goes_to_a_file(terminal: Terminal, config: Path) -> None:
    said = terminal.ok("policy", "api-key", "create", "ci", "--role", "trainer", "--to", "ci.key", "--expires", "never")
    file = terminal.folder / "ci.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("hfk_") and file.read_text()[21:70] not in said.out + said.err
    assert said.fact("expires") == "never"
    before = (config / "api-keys.json").read_bytes()
    assert terminal.run("policy", "api-key", "create", "other", "--to", "ci.key").code == 5
    assert terminal.run("policy", "api-key", "create", "ci", "--role", "trainer").code == 2
    assert terminal.run("policy", "api-key", "create", "x", "--role", "break-glass").code == 2
    assert terminal.run("policy", "api-key", "create", "x", "--scope", "flying").code == 2
    assert terminal.run("policy", "api-key", "create", "x", "--expires", "soon").code == 2
    assert (config / "api-keys.json").read_bytes() == before


def test_break_glass_begins_is_loud_and_ends(terminal: Terminal, vault: Path, config: Path) -> None:
    keeper = f"member:{terminal.json('vault-info', 'vault', 'info', vault)['vault']}/keeper"
    (config / "authority.yaml").write_text(f'break_glass: {{who: ["{keeper}"], longest: 2h}}')
    reason = "us-east is on fire, nobody answers"
    begun = terminal.json("policy-break-glass", "policy", "break-glass", reason, "--vault", vault)
    assert (begun["state"], begun["reason"], begun["person"]) == ("begun", reason, keeper)
    findings = terminal.json("policy-check", "policy", "check")["findings"]
    assert any(begun["id"] in one and reason in one for one in findings)
    under = [one["action"] for one in records(terminal) if one["action"].startswith("break-glass")]
    assert under == ["break-glass", "break-glass.begin"]
    assert records(terminal)[-1]["break_glass"] == {"id": begun["id"], "reason": reason}
    assert terminal.run("policy", "break-glass", reason, "--vault", vault).code == 5
    said = terminal.ok("policy", "break-glass", "--end")
    assert said.last.startswith(f"ended break-glass session {begun['id']} in ")
    assert records(terminal)[-1]["action"] == "break-glass.end"
    assert records(terminal)[-1]["break_glass"] == {"id": begun["id"], "reason": reason}
    assert terminal.json("policy-check", "policy", "check")["findings"] == []
    assert terminal.json("policy-break-glass", "policy", "break-glass", "--end")["id"] is None


def test_break_glass_is_not_for_everybody(terminal: Terminal, vault: Path, config: Path) -> None:
    said = terminal.run("policy", "break-glass", "us-east is on fire", "--vault", vault)
    assert said.code == 7 and "not listed for break-glass" in said.err
    assert terminal.run("policy", "break-glass", "us-east is on fire").code == 7  # nobody
    assert terminal.run("policy", "break-glass").code == 2
    assert terminal.run("policy", "break-glass", "x", "--end").code == 2
    assert terminal.run("policy", "break-glass", "soon", "--vault", vault).code == 2
