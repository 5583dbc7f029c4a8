"""Witnesses of an audit log keep to the rules on jurisdictions of the assets whose vault it is of."""

from __future__ import annotations

from pathlib import Path

import pytest
from terminal import Terminal

_FILE = """\
version: 1
organisation: acme
sites:
  fra:
    {{cloud: onprem, region: a, jurisdiction: EU, stores: {{warm: {{url: {folder}/fra}}, cold: {{url: {folder}/old}}}}}}
  euw4: {{cloud: gcp, region: europe-west4, jurisdiction: EU, stores: {{warm: {{url: {folder}/euw4}}}}}}
  use1: {{cloud: aws, region: us-east-1, jurisdiction: US, stores: {{warm: {{url: {folder}/use1}}}}}}
assets:
  data:
    class: training
    place: {{synchronous: [fra], asynchronous: [euw4], only_jurisdiction: EU}}
witnesses:
  ours: {{name: eu.test/w, site: euw4, state: {folder}/ours, url: "http://127.0.0.1:9/w"}}
"""


@pytest.fixture
def declared(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A vault whose only asset may lie in the EU alone, and one witness that is declared there."""
    path = terminal.folder / "holdfast.yaml"
    path.write_text(_FILE.format(folder=terminal.folder))
    terminal.ok("vault", "create", terminal.folder / "fra")
    monkeypatch.setenv("HOLDFAST_VAULT", str(terminal.folder / "fra"))
    return path


def _key(terminal: Terminal, name: str, file: str) -> list[str]:
    made = terminal.json("audit-witness-key", "audit", "witness-key", name, "--to", file)
    return [part for key in made["keys"] for part in ("--witness", key)]


def test_only_declared_witnesses_where_the_rule_allows_are_named(terminal: Terminal, declared: Path) -> None:
    ours, theirs = _key(terminal, "eu.test/w", "eu.key"), _key(terminal, "us.test/w", "us.key")
    refused = terminal.run("audit", "create", *ours, *theirs)
    assert refused.code == 5
    assert "nobody knows where the witness us.test/w is, and data may lie only in EU" in refused.err
    assert not (terminal.folder / "fra/audit").exists()
    terminal.ok("audit", "create", *ours)
    again = terminal.run("audit", "create", "--again", *theirs)
    assert again.code == 5


def test_a_declared_witness_at_a_forbidden_site_makes_the_file_wrong(terminal: Terminal, declared: Path) -> None:
    declared.write_text(declared.read_text().replace("site: euw4", "site: use1"))
    checked = terminal.json("config-check", "config", "check", code=2)
    assert [(one["line"], one["place"]) for one in checked["problems"]] == [(13, ["witnesses", "ours", "site"])]
    refused = terminal.run("audit", "create", *_key(terminal, "eu.test/w", "eu.key"))
    assert refused.code == 2
    assert "`use1` is in US" in refused.err


def test_what_a_witness_remembers_lies_where_the_rule_allows(terminal: Terminal, declared: Path) -> None:
    terminal.ok("audit", "create", *_key(terminal, "eu.test/w", "eu.key"))
    terminal.ok("audit", "append", "--action", "looked")
    for state, said in (("use1", "`use1` is in US"), ("nowhere", "nobody knows where ")):
        refused = terminal.run("audit", "witness", "--key", "eu.key", "--state", terminal.folder / state)
        assert (refused.code, said in refused.err) == (5, True), refused
        assert not (terminal.folder / state).exists()
    terminal.ok("audit", "witness", "--key", "eu.key", "--state", terminal.folder / "ours")
    terminal.ok("audit", "witness", "--key", "eu.key", "--state", "file://" + str(terminal.folder / "euw4"))
    refused = terminal.run("audit", "append", "--witness-url", "http://127.0.0.1:9/other")
    assert refused.code == 5
    assert "the witness at http://127.0.0.1:9/other" in refused.err
    terminal.ok("audit", "append", "--witness-url", "http://127.0.0.1:9/w")  # it does not answer: noted


def test_the_rule_holds_for_a_store_where_tiers_may_put_it_and_not_for_other_vaults(
    terminal: Terminal, declared: Path
) -> None:
    theirs = _key(terminal, "us.test/w", "us.key")
    terminal.ok("vault", "create", terminal.folder / "old")
    assert terminal.run("audit", "create", *theirs, "--vault", terminal.folder / "old").code == 5
    terminal.ok("vault", "create", terminal.folder / "other")
    terminal.ok("audit", "create", *theirs, "--vault", terminal.folder / "other")
    declared.write_text(declared.read_text().replace(", only_jurisdiction: EU", ""))
    terminal.ok("audit", "create", *theirs)


def test_a_replica_is_not_made_where_the_rule_forbids(terminal: Terminal, declared: Path) -> None:
    for dry in ([], ["--dry-run"]):
        refused = terminal.run("replicate", terminal.folder / "fra", terminal.folder / "use1", *dry)
        assert refused.code == 5
        assert "a replica may not lie there: `use1` is in US, and data may lie only in EU" in refused.err
    assert not (terminal.folder / "use1").exists()
    terminal.ok("replicate", terminal.folder / "fra", terminal.folder / "euw4")
    terminal.ok("replicate", terminal.folder / "fra", terminal.folder / "elsewhere")  # of which the file knows nothing
