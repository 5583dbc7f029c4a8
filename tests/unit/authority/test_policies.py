"""Reading policies: what is wrong is told with file and line, and the last good set stays in force."""

from __future__ import annotations

from pathlib import Path

import cedarpy
import pytest

from holdfast.authority.policies import default_policies, load_policies, problems_in
from holdfast.authority.policy_folder import FILES_MAX, policies_in_force
from holdfast.authority.scanning import statements_of
from holdfast.authority.schema import schema, schema_text
from holdfast.errors import CredentialError

SOUND = '@id("mine")\n@reason("because")\nforbid (principal, action == Action::"collect", resource);\n'


class Notes(list):
    def phase(self, name: str, total_bytes: int | None) -> None: ...
    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None: ...
    def note(self, message: str) -> None:
        self.append(message)


def test_the_default_policies_fit_the_schema() -> None:
    rules = default_policies().rules
    assert all(rule.built_in and rule.reason and not rule.id.startswith("holdfast:") for rule in rules)
    result = cedarpy.validate_policies("\n".join(rule.text for rule in rules), schema())
    assert result.validation_passed, result.errors


def test_the_schema_can_be_read_again() -> None:
    assert str(cedarpy.Schema.from_str(schema_text()))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('permit (principal,\n  action = Action::"save",\n  resource);', 2, "'=' is not a valid operator"),
        ('permit (principal,\n  action == Action::"sav", resource);', 2, 'unrecognized action `Action::"sav"`'),
        ("permit (principal, action, resource)\nwhen {\n  principal.foo == 1\n};", 3, "attribute `foo`"),
        ("\n\npermit (prinzipal, action, resource);", 3, "prinzipal"),
        ("permit (principal, action, resource) when {\n 1 +\n };", 3, "unexpected token `}`"),
        ("permit (principal, action, resource)\nwhen { true };\n\npermit (principal action, resource);", 4, "`action`"),
        ("permit (principal, action,\nresource) when { foo(1) == 2 };", 2, "`foo` is not a valid function"),
        ("permit (principal == ?principal, action, resource);", 1, "templates"),
        ('// c\n@id("own-plan")\npermit (principal, action, resource);', 2, "rules.cedar, line 14, has"),
        ("permit (principal, action, resource)", 1, "does not end"),
        ('permit (principal, action, resource) when { ("a };', 1, "quotation mark does not end"),
        ("permit (principal, action, resource) when { §1 };", 1, "is nothing that policies are written with"),
        ("allow (principal, action, resource);", 1, "invalid policy effect: allow"),
        (";", 1, "unexpected token"),
        ('@id("a b")\npermit (principal, action, resource);', 1, "an @id has"),
        ('@id("a\\"b")\npermit (principal, action, resource);', 1, "without backslashes"),
        ("permit (principal, action, resource) when { context.now < datetime(\"x\") };", 1, "datetime"),
        ("permit (principal, action, resource)\nwhen {\n context.breakGlass.reason == \"x\" };", 3, "optional"),
        ("permit (principal is Vault, action, resource);", 1, "applicable action"),
        ("permit (principal, action, resource) when {" + "(" * 2000 + ")" * 2000 + "};", 1, "nested more than"),
        ("permit (principal, action, resource) when {" + "1 + " * 3000 + "1 == 2};", 1, "too long"),
        ("permit (principal, action, resource) when {" + "!" * 500 + "true};", 1, "!"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_file_and_line(text: str, line: int, said: str) -> None:
    with pytest.raises(CredentialError) as caught:
        load_policies({"mine.cedar": text.encode()})
    assert caught.value.message.startswith(f"mine.cedar, line {line}: "), caught.value.message
    assert said in caught.value.message
    assert caught.value.exit_code == 7


def test_a_file_that_is_no_text_or_too_long() -> None:
    for data, said in ((b"\n\n\xff", "line 3: this is not UTF-8"), (b" " * (1 << 20), "more than 256 KiB")):
        with pytest.raises(CredentialError, match=said):
            load_policies({"mine.cedar": data})


def test_all_problems_are_told_at_once() -> None:
    texts = {
        "a.cedar": b"permit (principal, action, resource) when { foo(1) };\n" + SOUND.encode() + b"allow;",
        "b.cedar": b"permit (",
        "c.cedar": SOUND.encode(),
    }
    found = [one.message for one in problems_in(texts)]
    assert [one.partition(":")[0] for one in found] == [
        "a.cedar, line 1",
        "a.cedar, line 5",
        "b.cedar, line 1",
        "c.cedar, line 1",
    ]
    assert "has a policy called 'mine' already" in found[-1]


def test_comments_texts_and_brackets_do_not_end_a_statement() -> None:
    text = b'// ; {\n@id("x") @reason("a; b")\nforbid (principal, action, resource) when { "};" == "}" };\n// end ;'
    [one] = statements_of(text, "x")
    assert (one.line, one.annotations) == (2, {"id": "x", "reason": "a; b"})
    assert load_policies({"x.cedar": text}).own[0].reason == "a; b"


def test_the_last_good_set_stays_in_force_and_this_is_said(tmp_path: Path) -> None:
    folder, kept, notes = tmp_path / "policies", tmp_path / "state" / "policies.kept", Notes()
    assert policies_in_force(folder, kept, notes).source == "defaults"
    assert not kept.exists()
    folder.mkdir()
    (folder / "mine.cedar").write_text(SOUND)
    (folder / "notes.txt").write_text("not a policy")
    good = policies_in_force(folder, kept, notes)
    assert good.source == "folder" and [rule.id for rule in good.policies.own] == ["mine"]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert notes == []
    (folder / "mine.cedar").write_text(SOUND + "permit (")
    still = policies_in_force(folder, kept, notes)
    assert still.source == "last good"
    assert still.policies.digest == good.policies.digest
    assert still.problem is not None and "mine.cedar, line 4" in still.problem.message
    assert len(notes) == 1 and "in force before stay in force" in notes[0]
    (folder / "mine.cedar").unlink()
    assert policies_in_force(folder, kept, notes).source == "defaults"


@pytest.mark.parametrize("damage", [None, b"", b"{}", b"[" * 9000])
def test_without_a_last_good_set_nothing_is_decided(tmp_path: Path, damage: bytes | None) -> None:
    folder, kept = tmp_path / "policies", tmp_path / "policies.kept"
    folder.mkdir()
    (folder / "mine.cedar").write_text("permit (")
    if damage is not None:
        kept.write_bytes(damage)
    with pytest.raises(CredentialError, match=r"mine\.cedar, line 1"):
        policies_in_force(folder, kept)


def test_policies_that_others_may_write_are_not_believed(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "mine.cedar").write_text(SOUND)
    for path in (folder, folder / "mine.cedar"):
        mode = path.stat().st_mode
        path.chmod(mode | 0o020)
        with pytest.raises(CredentialError, match="may be written by others"):
            policies_in_force(folder, None)
        path.chmod(mode)
    assert policies_in_force(folder, None).source == "folder"


def test_a_last_good_set_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    folder, kept = tmp_path / "policies", tmp_path / "policies.kept"
    folder.mkdir()
    (folder / "mine.cedar").write_text(SOUND)
    policies_in_force(folder, kept)
    (folder / "mine.cedar").write_text("permit (")
    assert policies_in_force(folder, kept).source == "last good"
    kept.chmod(0o620)
    with pytest.raises(CredentialError, match=r"mine\.cedar, line 1"):
        policies_in_force(folder, kept)


def test_odd_things_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.write_text("a file")
    with pytest.raises(CredentialError, match="no folder"):
        policies_in_force(folder, None)
    folder.unlink()
    folder.mkdir()
    (folder / "a.cedar").mkdir()
    with pytest.raises(CredentialError, match=r"not a regular file|cannot be read"):
        policies_in_force(folder, None)
    (folder / "a.cedar").rmdir()
    for i in range(FILES_MAX + 1):
        (folder / f"{i}.cedar").write_text("")
    with pytest.raises(CredentialError, match="more than 100 files"):
        policies_in_force(folder, None)
