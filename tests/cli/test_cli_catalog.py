"""`holdfast catalog`: filled from the sites of a holdfast.yaml, made anew, lost and damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import Terminal, write_checkpoint

_FILE = """\
version: 1
organisation: acme
sites:
  use1:
    cloud: aws
    region: us-east-1
    jurisdiction: US
    stores: {{warm: {{url: {folder}/use1}}}}
  euw4:
    cloud: gcp
    region: europe-west4
    jurisdiction: EU
    stores: {{warm: {{url: {folder}/euw4}}}}
assets:
  llama:
    class: training
    place: {{synchronous: [use1], asynchronous: [euw4]}}
"""


@pytest.fixture
def declared(terminal: Terminal) -> Path:
    """Two sites in folders, a vault at the first, one snapshot of `llama` there."""
    (terminal.folder / "holdfast.yaml").write_text(_FILE.format(folder=terminal.folder))
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("vault", "create", str(terminal.folder / "use1"))
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    return terminal.folder / "catalog.sqlite"


def test_what_lies_at_the_sites_is_known_without_asking_them(terminal: Terminal, declared: Path) -> None:
    place = ("--catalog", declared)
    assert terminal.run("catalog", "status", *place).code == 3
    first = terminal.json("catalog-update", "catalog", "update", *place)
    assert {one["store"]: one["problem"] for one in first["stores"]} == {"use1/warm": "", "euw4/warm": ""}
    assert declared.stat().st_mode & 0o077 == 0
    terminal.ok("site", "sync")
    second = terminal.json("catalog-update", "catalog", "update", *place)
    read = {one["store"]: one["read"] for one in second["stores"]}
    assert read["euw4/warm"] > 0
    assert read["use1/warm"] == 0, "nothing was new there"
    for site in ("use1", "euw4"):  # from now on nobody could be asked
        (terminal.folder / site).rename(terminal.folder / f"{site}.away")
    status = terminal.json("catalog-status", "catalog", "status", *place)
    assert (status["rows"]["snapshots"], status["rows"]["replicas"]) == (1, 2)
    assert status["standings"] == {"NOT_MEASURED": 1}
    shown = terminal.json("catalog-show", "catalog", "show", "llama", *place)
    assert shown["snapshots"][0]["stores"] == ["euw4/warm", "use1/warm"]
    assert shown["snapshots"][0]["proven"] == ["euw4/warm", "use1/warm"]
    assert shown["standing"]["rpo"]["current"] < 3600
    assert terminal.run("catalog", "show", "mistral", *place).code == 3
    for said in (terminal.ok("catalog", "status", *place), terminal.ok("catalog", "show", "llama", *place)):
        lines = [line for line in said.out.splitlines() if not line.startswith("catalog ")]  # a path stays whole
        assert max(map(len, lines)) <= 80, said.out


def test_a_site_that_is_away_keeps_its_rows_until_a_rebuild(terminal: Terminal, declared: Path) -> None:
    place = ("--catalog", declared)
    terminal.ok("site", "sync")
    terminal.ok("catalog", "update", *place)
    (terminal.folder / "euw4").rename(terminal.folder / "euw4.away")
    terminal.ok("vault", "create", str(terminal.folder / "euw4"))  # another vault: what lies there is not ours
    assert terminal.run("catalog", "update", *place).code == 8
    kept = terminal.json("catalog-status", "catalog", "status", *place)
    assert kept["rows"]["replicas"] == 2
    assert {one["store"]: bool(one["problem"]) for one in kept["stores"]} == {"euw4/warm": True, "use1/warm": False}
    shown = terminal.json("catalog-show", "catalog", "show", "llama", *place)
    assert shown["standing"]["rpo"]["current"] is None, "a store that does not answer is taken for lost"
    assert terminal.run("catalog", "rebuild", *place).code == 8
    assert terminal.json("catalog-status", "catalog", "status", *place)["rows"]["replicas"] == 1


def test_what_a_store_has_lost_is_gone(terminal: Terminal, declared: Path) -> None:
    place = ("--catalog", declared)
    terminal.ok("site", "sync")
    terminal.ok("catalog", "update", *place)
    shutil.rmtree(terminal.folder / "euw4")
    done = terminal.json("catalog-update", "catalog", "update", *place)
    assert {one["store"]: one["gone"] > 0 for one in done["stores"]} == {"euw4/warm": True, "use1/warm": False}
    assert terminal.json("catalog-status", "catalog", "status", *place)["rows"]["replicas"] == 1


def test_a_failed_site_is_an_incident(terminal: Terminal, declared: Path) -> None:
    place = ("--catalog", declared)
    terminal.ok("site", "sync")
    terminal.ok("site", "fail", "euw4", "--reason", "flooded")
    terminal.ok("catalog", "rebuild", *place)
    shown = terminal.json("catalog-show", "catalog", "show", "llama", *place)
    assert [(one["site"], one["condition"], one["reason"]) for one in shown["incidents"]] == [
        ("euw4", "failed", "flooded")
    ]


def test_a_damaged_file_is_set_aside_and_made_anew(terminal: Terminal, declared: Path) -> None:
    place = ("--catalog", declared)
    terminal.ok("catalog", "update", *place)
    declared.write_bytes(b"this is no database" * 1000)
    for ending in ("-wal", "-shm"):
        declared.with_name(declared.name + ending).unlink(missing_ok=True)
    assert terminal.run("catalog", "status", *place).code == 4
    done = terminal.json("catalog-update", "catalog", "update", *place)
    assert Path(done["aside"]).read_bytes().startswith(b"this is no database")
    assert terminal.json("catalog-status", "catalog", "status", *place)["rows"]["snapshots"] == 1


def test_an_address_with_a_password_is_refused_and_not_repeated(terminal: Terminal, declared: Path) -> None:
    said = terminal.run("catalog", "status", "--catalog", "postgresql://me:s3cret@127.0.0.1:1/x")
    assert said.code == 2
    assert "s3cret" not in said.out + said.err
    assert "PGPASSFILE" in said.err
    gone = terminal.run("catalog", "status", "--catalog", "postgresql://me@127.0.0.1:1/x")
    assert gone.code == 8, gone


def test_other_commands_do_not_load_it(terminal: Terminal) -> None:
    code = (
        "import sys\n"
        "from holdfast.cli.main import main\n"
        "for arguments in (['catalog', '--help'], ['site', 'list']):\n"
        "    main(arguments)\n"
        "loaded = {name.partition('.')[0] for name in sys.modules} & {'sqlalchemy', 'alembic', 'psycopg'}\n"
        "assert not loaded, loaded\n"
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'sqlalchemy' else find(name, *rest)\n"
        "from holdfast.control.cataloguing.filling import require_catalog\n"
        "from holdfast.errors import MissingExtraError\n"
        "try:\n"
        "    require_catalog()\n"
        "except MissingExtraError as error:\n"
        "    assert 'holdfast[catalog]' in error.hint\n"
        "else:\n"
        "    raise AssertionError('it is said that an extra is missing')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
