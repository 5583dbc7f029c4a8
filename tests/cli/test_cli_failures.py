"""How failures are told: words, hints, JSON, exit codes; never a traceback, never a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal, write_checkpoint

from holdfast.cli import failing
from holdfast.cli.main import main
from holdfast.control.keys import key_files
from holdfast.errors import ConflictError, FailedError, HoldfastError
from holdfast.stores import retrying
from holdfast.stores.retrying import RetryPolicy
from holdfast.trust.credentials import write_credential
from holdfast.vault.access.members import admit_writer
from holdfast.vault.vault import Vault


def test_an_error_is_a_line_and_a_hint_on_stderr(terminal: Terminal, vault: Path) -> None:
    said = terminal.run("snapshot", "show", "nobody")
    assert said.out == ""
    assert said.err.splitlines() == [
        f"error: there is no asset or snapshot 'nobody' in {vault}",
        "hint: see `holdfast snapshot list`",
    ]


def test_an_error_as_json_says_the_same(terminal: Terminal, vault: Path) -> None:
    failed = terminal.json("error", "snapshot", "show", "nobody", code=3)
    assert failed["error"] == {
        "code": "not-found",
        "message": f"there is no asset or snapshot 'nobody' in {vault}",
        "hint": "see `holdfast snapshot list`",
        "object": "",
        "exit_code": 3,
        "retry": False,
    }


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["vaul"], "no such command 'vaul'. Did you mean 'vault'?", "holdfast --help"),
        (
            ["snapshot", "save", "x", "--vault", "v"],
            "save takes a PATH and its --asset, or a --group",
            "holdfast snapshot save --help",
        ),
        (["snapshot", "list"], "missing option '--vault' (env var: 'HOLDFAST_VAULT')", "holdfast snapshot list --help"),
        (["vault", "info", "v", "--verbose"], "no such option: --verbose", "holdfast vault info --help"),
        (["vault", "info"], "missing argument 'URL'", "holdfast vault info --help"),
    ],
)
def test_a_usage_error_names_the_page_that_helps(
    terminal: Terminal, arguments: list[str], message: str, hint: str
) -> None:
    said = terminal.run(*arguments)
    assert said.code == 2
    assert said.err.splitlines() == [f"error: {message}", f"hint: see `{hint}`"]
    failed = terminal.json("error", *arguments, code=2)["error"]
    assert (failed["code"], failed["message"]) == ("usage", message)


@pytest.mark.parametrize("noun", [[], ["vault"], ["snapshot"], ["key"]])
def test_a_noun_without_a_verb_shows_its_verbs(terminal: Terminal, noun: list[str]) -> None:
    said = terminal.run(*noun)
    assert said.code == 2
    assert "Commands:" in said.err
    assert "error:" not in said.err


def test_a_secret_among_the_store_options_is_refused_and_not_repeated(terminal: Terminal) -> None:
    for option in ("secret_access_key=hunter2", "hunter2"):
        said = terminal.run("vault", "info", "s3://bucket/x", "--store-option", option)
        assert said.code == 2
        assert "hunter2" not in said.out + said.err


def test_a_store_that_does_not_answer_ends_with_8(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    once = RetryPolicy(attempts_max=2)
    monkeypatch.setattr(retrying, "RetryPolicy", lambda: once)  # the default takes several seconds to give up
    # Port 9 (discard) of the loopback interface: nobody listens, the connection is refused at once.
    options = ["endpoint=http://127.0.0.1:9", "allow_http=true", "region=nowhere"]
    flags = [part for option in options for part in ("--store-option", option)]
    failed = terminal.json("error", "vault", "info", "s3://bucket/x", *flags, code=8)["error"]
    assert (failed["code"], failed["retry"]) == ("store-unreachable", True)


def test_a_lost_race_ends_with_6_and_leaves_no_key(
    terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another keeper changes the configuration after ours was read and before ours is written."""
    from holdfast.control.vaults.opening import open_at

    def write_late(credential: Any, path: Path) -> None:
        admit_writer(open_at(str(vault)).handle, "faster")
        write_credential(credential, path)

    monkeypatch.setattr(key_files, "write_credential", write_late)
    failed = terminal.json("error", "key", "export-writer", "slow", "--vault", vault, "--to", "slow.key", code=6)
    assert failed["error"]["retry"] is True
    assert not (terminal.folder / "slow.key").exists()
    labels = [member["label"] for member in terminal.json("vault-info", "vault", "info", vault)["members"]]
    assert "faster" in labels
    assert "slow" not in labels


def test_a_target_that_may_not_be_written_ends_with_an_error_of_ours(terminal: Terminal, vault: Path) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    (terminal.folder / "file").write_text("in the way")
    said = terminal.run("restore", "llama", "file/below")
    assert said.code in (1, 7)
    assert "Traceback" not in said.err


class _Gone(Exception):
    pass


def _break(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(Vault, "snapshots", broken)


def test_a_fault_of_ours_is_one_line_and_says_where_to_go_with_it(
    terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break(monkeypatch, _Gone("with a secret in it"))
    said = terminal.run("snapshot", "list")
    assert said.code == 1
    error, hint = said.err.splitlines()
    assert error.startswith("error: unexpected _Gone in cli/facts/lists.py, line ")
    assert "report it" in hint
    assert "secret" not in said.err
    assert terminal.json("error", "snapshot", "list", code=1)["error"]["code"] == "unexpected"
    monkeypatch.setenv(failing.DEBUG_VARIABLE, "1")
    assert "Traceback" in terminal.run("snapshot", "list").err


def test_an_interrupt_ends_with_130_and_says_that_nothing_is_half_done(
    terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break(monkeypatch, KeyboardInterrupt())
    said = terminal.run("snapshot", "list")
    assert said.code == 130
    assert said.err.startswith("error: interrupted; nothing half-saved is visible")
    assert terminal.json("error", "snapshot", "list", code=130)["error"]["code"] == "interrupted"


@pytest.mark.parametrize("error", [FailedError("first\nsecond \x1b[31m"), ConflictError("somebody was faster")])
def test_messages_stay_on_one_line_and_retry_is_hinted_at(
    terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch, error: HoldfastError
) -> None:
    _break(monkeypatch, error)
    said = terminal.run("snapshot", "list")
    assert said.code == error.exit_code
    assert said.err.count("\n") == (2 if error.retry else 1)
    assert "\x1b" not in said.err


def test_quiet_leaves_errors_and_nothing_else_on_stderr(terminal: Terminal, vault: Path) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1, bad=True)
    said = terminal.ok("snapshot", "save", "ckpt", "--asset", "llama", "--quiet")
    assert said.err == ""
    assert said.fact("found") == "1 finding (warned)"
    assert terminal.run("snapshot", "show", "nobody", "-q").err.startswith("error: ")


def test_the_version(terminal: Terminal) -> None:
    from holdfast import __version__

    assert terminal.ok("--version").out == f"holdfast {__version__}\n"


def test_main_takes_the_process_arguments_by_default(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["holdfast", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("holdfast ")
