"""Manifests and the lever: what is removed, what is left alone, who is told to stop."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.clock import ManualClock
from holdfast.control.drilling.conducting import drill_id
from holdfast.control.drilling.leftovers import clear_leftovers
from holdfast.control.drilling.listing import begun_before
from holdfast.control.drilling.taking import is_taken, taken
from holdfast.drills.lever import Lever, drills_home
from holdfast.drills.manifest import Manifest, began, is_running, remove_folder
from holdfast.errors import ConflictError, DamageError, RefusedError


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}


def _abandoned(path: Path, drill: str, *lines: str) -> None:
    """A manifest of a process that is gone."""
    code = (
        "import sys; from pathlib import Path; from holdfast.drills.manifest import Manifest\n"
        "made = Manifest.begin(Path(sys.argv[1]), sys.argv[2])\n" + "\n".join(lines)
    )
    subprocess.run([sys.executable, "-c", code, str(path), drill], check=True)


def test_what_a_dead_drill_made_is_removed_and_nothing_else(tmp_path: Path, environment: dict[str, str]) -> None:
    home = drills_home(environment) / "abc"
    _abandoned(
        home / "manifest.json",
        "abc",
        f"folder = made.make_folder(Path({str(tmp_path / 'trial')!r}), 'trial')",
        "(folder / 'sub').mkdir(); (folder / 'sub' / 'file').write_text('x'); (folder / 'link').symlink_to('/etc')",
    )
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "kept").write_text("kept")
    told: list[str] = []
    removed, left = clear_leftovers(environment, told.append)
    assert len(removed) == 1 and not left and not (tmp_path / "trial").exists()
    assert (tmp_path / "beside" / "kept").read_text() == "kept" and Path("/etc").is_dir()
    assert "abc died" in told[0]
    assert clear_leftovers(environment, told.append) == ([], [])


def test_a_folder_without_the_mark_is_left_alone(tmp_path: Path, environment: dict[str, str]) -> None:
    home = drills_home(environment) / "abc"
    place = tmp_path / "trial"
    _abandoned(home / "manifest.json", "abc", f"made.make_folder(Path({str(place)!r}), 'trial')")
    (place / ".holdfast-drill").write_text("of another drill")
    (place / "precious").write_text("x")
    removed, left = clear_leftovers(environment, lambda text: None)
    assert not removed and "mark" in left[0] and (place / "precious").exists()


def test_a_symlink_in_its_place_is_not_followed(tmp_path: Path, environment: dict[str, str]) -> None:
    home = drills_home(environment) / "abc"
    place = tmp_path / "trial"
    _abandoned(home / "manifest.json", "abc", f"made.make_folder(Path({str(place)!r}), 'trial')")
    place.rename(tmp_path / "moved")
    place.symlink_to(tmp_path / "moved")
    (tmp_path / "moved" / "precious").write_text("x")
    _, left = clear_leftovers(environment, lambda text: None)
    assert left and (tmp_path / "moved" / "precious").exists()


def test_processes_are_killed_only_if_they_are_those(tmp_path: Path) -> None:
    manifest = Manifest.begin(tmp_path / "manifest.json", "abc")
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    manifest.note_process(sleeper.pid, "sleeper")
    assert is_running(sleeper.pid, began(sleeper.pid)) and not is_running(sleeper.pid, began(sleeper.pid) + 1)
    removed, left = manifest.clear()
    assert not left and "was ended" in removed[0] and sleeper.wait(10) == -9
    text = (tmp_path / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(text.replace(f'"pid":{sleeper.pid}', f'"pid":{os.getpid()}'))
    removed, _ = Manifest.read(tmp_path / "manifest.json").clear()  # this process did not begin then
    assert "had ended" in removed[0]


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"drill": 1}', b"\xff", b'{"a":' * 100_000])
def test_rubbish_is_no_manifest(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(data)
    with pytest.raises(DamageError, match="does not say what a drill made"):
        Manifest.read(tmp_path / "manifest.json")


def test_rubbish_does_not_keep_others_from_being_cleared(environment: dict[str, str], tmp_path: Path) -> None:
    (drills_home(environment) / "aaa").mkdir(parents=True)
    (drills_home(environment) / "aaa" / "manifest.json").write_text("rubbish")
    place = tmp_path / "trial"
    _abandoned(drills_home(environment) / "b" / "manifest.json", "b", f"made.make_folder(Path({str(place)!r}), 't')")
    told: list[str] = []
    assert len(clear_leftovers(environment, told.append)[0]) == 1 and "does not say" in told[0]


def test_what_is_there_is_not_taken(tmp_path: Path) -> None:
    manifest = Manifest.begin(tmp_path / "m" / "manifest.json", "abc")
    with pytest.raises(RefusedError, match="there already"):
        manifest.make_folder(tmp_path, "trial")
    with pytest.raises(RefusedError, match="begun already"):
        Manifest.begin(tmp_path / "m" / "manifest.json", "abc")
    assert not manifest.abandoned and not remove_folder(tmp_path / "nothing", "abc")


def test_a_drill_that_died_may_be_begun_again_and_one_that_is_under_way_may_not(environment: dict[str, str]) -> None:
    drill = drill_id("schedule/weekly/7")
    assert drill == drill_id("schedule/weekly/7") != drill_id() and begun_before(environment, drill) is None
    home = drills_home(environment) / drill
    Manifest.begin(home / "manifest.json", drill)  # by this process, which lives
    with pytest.raises(ConflictError, match="has not ended"):
        begun_before(environment, drill)
    (home / "manifest.json").unlink()
    _abandoned(home / "manifest.json", drill)
    clear_leftovers(environment, lambda text: None)
    assert begun_before(environment, drill) is None and not (home / "manifest.json").exists()
    (home / "report.json").write_text("rubbish")
    with pytest.raises(DamageError):
        begun_before(environment, drill)


def test_the_lever(environment: dict[str, str]) -> None:
    lever = Lever(environment)
    assert lever.pulled() == "" and not lever.release()
    lever.pull(ManualClock(), "an incident", "ann")
    assert "ann: an incident" in lever.pulled() and "an incident" in lever.pulled("abc")
    assert lever.release() and lever.pulled() == ""
    lever.stop("abc", "that one")
    assert lever.pulled() == "" and lever.pulled("other") == "" and lever.pulled("abc") == "that one"
    lever.path.mkdir(parents=True)  # what cannot be read is pulled
    assert "cannot be read" in lever.pulled()


def test_one_at_a_time(environment: dict[str, str]) -> None:
    assert not is_taken(environment)
    with taken(environment):
        assert is_taken(environment)
        with pytest.raises(ConflictError, match="another drill"), taken(environment):
            pass
    assert not is_taken(environment)


def test_nothing_is_cleared_away_while_a_drill_is_under_way(tmp_path: Path, environment: dict[str, str]) -> None:
    """From another container the process of a drill cannot be seen: its manifest looks like that of a dead one."""
    home, place = drills_home(environment) / "abc", tmp_path / "trial"
    _abandoned(home / "manifest.json", "abc", f"made.make_folder(Path({str(place)!r}), 'trial')")
    told: list[str] = []
    with taken(environment):
        assert clear_leftovers(environment, told.append) == ([], []) and place.exists()
    assert "under way" in told[0]
    assert clear_leftovers(environment, told.append)[0] and not place.exists()


def test_a_process_of_another_boot_or_container_is_never_killed(tmp_path: Path) -> None:
    mine = Manifest.begin(tmp_path / "manifest.json", "abc")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        mine.note_process(process.pid, "somebody's")
        kept = (tmp_path / "manifest.json").read_bytes()
        scope = Path("/proc/sys/kernel/random/boot_id").read_text().strip().encode()
        assert scope in kept
        other = Manifest.decode(kept.replace(scope, b"another boot"), tmp_path / "manifest.json")
        removed, left = other.clear()
        assert "had ended" in removed[0] and not left and process.poll() is None
        process.kill()
