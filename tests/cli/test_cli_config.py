"""`holdfast config`: what is wrong with a file, what counts in the end, and its schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from terminal import Terminal

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "config"))

from config_texts import SMALL, changed, example


@pytest.fixture(autouse=True)
def no_config_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)


@pytest.fixture
def file(terminal: Terminal) -> Path:
    path = terminal.folder / "holdfast.yaml"
    path.write_text(example())
    return path


def test_check_finds_the_file_and_says_what_it_declares(terminal: Terminal, file: Path) -> None:
    said = terminal.ok("config", "check")
    assert said.fact("file") == str(file)
    assert said.fact("declares") == "6 sites, 6 assets, 1 group"
    notes = [line for line in said.out.splitlines() if ": note: " in line]
    assert [note.split("`")[1] for note in notes] == ["euw4-stripes", "fra-stripes", "identity: {people: …}"]
    assert said.last.startswith(f"checked {file}: 0 problems, in ")
    found = terminal.json("config-check", "config", "check")
    assert (found["sites"], found["assets"], found["groups"], found["problems"]) == (6, 6, 1, [])
    places = [["sites", "euw4-stripes"], ["sites", "fra-stripes"], ["serve", "vouches"]]
    assert [one["place"][:2] for one in found["findings"]] == places


def test_check_tells_all_problems_at_once_and_exits_with_2(terminal: Terminal) -> None:
    text = changed("up: 10Gbit/s, reserve:", "up: 10Gbit/s, reserved:")
    text = changed("{synchronous: [use1], asynchronous: [euw4]}", "{synchronous: [use1], asynchronous: [euw5]}", text)
    path = terminal.folder / "other.yaml"
    path.write_text(text)
    said = terminal.run("config", "check", "other.yaml")
    assert said.code == 2
    assert said.out.splitlines() == [
        "other.yaml:11: `link` has no `reserved`; did you mean `reserve`?",
        "other.yaml:39: there is no site `euw5`; did you mean `euw4`?",
    ]
    assert said.last.startswith("checked other.yaml: 2 problems, in ")
    found = terminal.json("config-check", "config", "check", "other.yaml", code=2)
    assert [one["line"] for one in found["problems"]] == [11, 39]
    assert found["problems"][1]["place"] == ["assets", "run", "place", "asynchronous", 0]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a: {b: ${KEY}}\n", 'h.yaml:1: inside { } and [ ] a reference stands in quotes: "${KEY}"'),
        (b"", "h.yaml:1: it is empty"),
        (b"a: 1\nb: \xff\n", "h.yaml:2: this is not UTF-8"),
        (b"version: 1\n  x: 2\n", "h.yaml:2: no YAML: mapping values are not allowed here"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(terminal: Terminal, data: bytes, said: str) -> None:
    (terminal.folder / "h.yaml").write_bytes(data)
    told = terminal.run("config", "check", "h.yaml")
    assert (told.code, told.out) == (2, f"{said}\n")
    terminal.json("config-check", "config", "check", "h.yaml", code=2)


def test_a_file_that_is_not_there_is_not_found(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert terminal.run("config", "check").code == 3
    assert terminal.run("config", "check", "none.yaml").code == 3
    monkeypatch.setenv("HOLDFAST_CONFIG", "none.yaml")
    assert terminal.run("config", "show").code == 3


def test_show_lists_sites_and_assets(terminal: Terminal, file: Path) -> None:
    said = terminal.ok("config", "show")
    rows = {line.split()[0]: line.split() for line in said.out.splitlines() if line}
    assert rows["use1"][1:4] == ["aws", "us-east-1", "US"]
    assert said.last.startswith(f"showed 6 assets of {file} in ")
    found = terminal.json("config-show", "config", "show")
    assert [site["name"] for site in found["sites"]] == ["use1", "euw4", "fra", "eun", "euw4-stripes", "fra-stripes"]
    assert [store["paths"] for site in found["sites"] for store in site["stores"]] == [1, 1, 1, 1, 2, 1, 1, 1]
    placed = {asset["name"]: asset["placement"] for asset in found["assets"]}
    assert placed["llama-weights"]["quorum"] == 2 and placed["llama-weights"]["losses"] == 2
    assert placed["tokenizer"]["chosen"] is True
    data = placed["customer-data"]
    assert (data["home"], data["stripes"], data["synchronous"]) == (
        "fra-stripes/warm",
        "2+1",
        ["fra-stripes", "euw4-stripes", "eun"],
    )


def test_show_says_of_one_asset_whence_each_value_comes(terminal: Terminal, file: Path) -> None:
    lines = example().splitlines()

    def line(text: str) -> int:
        return next(number for number, one in enumerate(lines, 1) if text in one)

    said = terminal.ok("config", "show", "--asset", "llama-pretrain")
    training, place = line("training: {rpo: 2h"), line("synchronous: [use1], asynchronous: [euw4]")
    assert said.fact("RPO") == f"2 h 00 min (from class training, line {training})"
    assert said.fact("saved") == f"every 30 min 00 s (from the asset, line {line('save_every')})"
    assert said.fact("priority") == "5 of 9 (default of class training)"
    assert said.fact("lies at") == f"use1/warm, euw4/warm (from the asset, line {place})"
    assert said.fact("to cold") == "when older than 30 d 00 h and not read for 14 d 00 h"
    personal = terminal.ok("config", "show", "--asset", "customer-data")
    assert personal.fact("class") == "personal, like regulated"
    assert personal.fact("may lie") == f"only in EU (line {line('personal: {like')})"
    assert personal.fact("a save waits for") == "3 of fra-stripes, euw4-stripes, eun"
    found = terminal.json("config-show", "config", "show", "--asset", "llama-pretrain")
    assert [site["name"] for site in found["sites"]] == ["use1", "euw4"]
    [asset] = found["assets"]
    assert asset["rpo"] == {"value": 7200.0, "source": "from class training", "line": training}
    assert asset["copies"]["value"] == 2 and asset["immutable"]["line"] is None


def test_show_needs_an_asset_that_is_there_and_a_file_without_problems(terminal: Terminal, file: Path) -> None:
    said = terminal.run("config", "show", "--asset", "llama-wieghts")
    assert said.code == 3 and "did you mean `llama-weights`?" in said.err
    (terminal.folder / "bad.yaml").write_text(changed("cloud: aws", "cloud: aw", SMALL))
    said = terminal.run("config", "show", "--config", "bad.yaml")
    assert said.code == 2
    assert said.err.startswith("error: bad.yaml, line 5: 'aw' is no `cloud`; did you mean `aws`?\n")


def test_schema_prints_the_published_one(terminal: Terminal) -> None:
    published = (Path(__file__).parents[2] / "docs" / "holdfast.schema.json").read_text("utf-8")
    assert terminal.ok("config", "schema").out == published
    assert terminal.json("config-schema", "config", "schema")["definition"] == json.loads(published)


def test_no_secret_in_a_wrong_place_is_shown(terminal: Terminal) -> None:
    secret = "AKIAIOSFODNN7EXAMPLE"
    text = changed("lock: 30d", f"lock: {secret}")
    text = changed("s3://acme-use1b", f"s3://{secret}:{secret}@acme", text)
    (terminal.folder / "h.yaml").write_text(changed("classes:", f"notify: {{slack: {secret}}}\nclasses:", text))
    for arguments in (("check", "h.yaml"), ("check", "h.yaml", "--json"), ("show", "--config", "h.yaml")):
        said = terminal.run("config", *arguments)
        assert said.code == 2 and secret not in said.out + said.err
