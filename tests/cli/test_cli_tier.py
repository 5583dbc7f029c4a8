"""`holdfast tier`: plans by what was measured, moves that can be repeated, and rounds that bring nothing back."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from safetensors.numpy import save_file
from terminal import Terminal

import holdfast
from holdfast.control.vaults import uses

_FILE = """\
version: 1
organisation: acme
sites:
  use1:
    cloud: aws
    region: us-east-1
    jurisdiction: US
    stores:
      hot: {{url: {folder}/use1-hot, restore: 1s}}
      warm: {{url: {folder}/use1-warm, restore: 1s}}
  euw4:
    cloud: gcp
    region: europe-west4
    jurisdiction: EU
    stores: {{warm: {{url: {folder}/euw4, restore: 1s}}}}
classes:
  training: {{rto: 3h, copies: 2, tiers: {{warm: {{after: 1s, unread: 1s}}}}}}
assets:
  llama:
    class: training
    home: use1/hot
    place: {{synchronous: [use1], asynchronous: [euw4]}}
"""
_DAYS = 3 * 86_400


@pytest.fixture
def declared(terminal: Terminal) -> Path:
    """A home with two tiers, one other site, and a vault with two snapshots that is three days old."""
    path = terminal.folder / "holdfast.yaml"
    path.write_text(_FILE.format(folder=terminal.folder))
    terminal.ok("vault", "create", str(terminal.folder / "use1-hot"))
    for seed in (1, 2):
        _save(terminal, seed)
    time.sleep(1.1)
    return path


def _save(terminal: Terminal, seed: int) -> None:
    folder = terminal.folder / "ckpt"
    folder.mkdir(exist_ok=True)
    noise = np.random.default_rng(seed).integers(
        0, 256, 6 << 20, dtype=np.uint8
    )  # neither deltas nor headers share a pack
    save_file({"w": noise}, folder / "model.safetensors", metadata={"seed": str(seed)})
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")


def _age(folder: Path) -> None:
    then = time.time() - _DAYS
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def _measured(terminal: Terminal) -> Any:
    return terminal.json("tier-measure", "tier", "measure", "--at", "use1", "--at", "euw4", "--probe")


def _stores_of(terminal: Terminal) -> list[tuple[str, ...]]:
    explained = terminal.json("tier-explain", "tier", "explain", "llama")
    return [tuple(one["lies_at"]) for one in explained["decisions"]]


def test_without_a_measurement_nothing_counts_as_fast_and_nothing_is_dropped(
    terminal: Terminal, declared: Path
) -> None:
    plan = terminal.json("tier-plan", "tier", "plan")
    assert plan["snapshots"] == 2
    assert any("restores from use1/hot to use1" in note for note in plan["not_measured"])
    assert not [move for move in plan["moves"] if move["verb"] == "drop"]
    assert plan["problems"]
    assert plan["cost"]["before"]["prices_of"]


def test_sync_measures_lines_and_a_sample_measures_stores(terminal: Terminal, declared: Path) -> None:
    terminal.ok("site", "sync")
    kept = json.loads(next(Path(os.environ["XDG_STATE_HOME"]).glob("holdfast/rates/acme.json")).read_text())
    assert kept["restores"]["use1/hot"]["euw4"][0]["how"] == "copy"
    assert kept["verifying"]["llama"][0]["how"] == "read back"
    measured = terminal.json("tier-measure", "tier", "measure", "--at", "use1", "--at", "euw4")
    rates = {one["store"]: one["rate"] for one in measured["measured"] if not one["asset"]}
    assert rates["use1/hot"] > 0
    assert rates["use1/warm"] is None  # nothing lies there yet
    plan = terminal.json("tier-plan", "tier", "plan")
    assert not any("from use1/hot" in note or "verifying" in note for note in plan["not_measured"])
    assert terminal.run("tier", "measure").code == 2  # where is this machine?
    probed = _measured(terminal)
    assert {one["store"] for one in probed["measured"] if one["rate"]} == {"use1/hot", "use1/warm", "euw4/warm"}
    assert not [path for path in (terminal.folder / "use1-warm").rglob("*") if path.is_file()]


def test_apply_moves_what_is_old_and_no_round_brings_it_back(terminal: Terminal, declared: Path) -> None:
    terminal.ok("site", "sync")
    _measured(terminal)
    first = terminal.json("tier-apply", "tier", "apply")
    assert ("copy", "use1/warm") in [(move["verb"], move["store"]) for move in first["done"]]
    assert not first["held"]
    _measured(terminal)
    _age(terminal.folder / "use1-hot")
    dry = terminal.json("tier-plan", "tier", "apply", "--dry-run")
    drops = [move for move in dry["moves"] if move["verb"] == "drop"]
    assert [move["store"] for move in drops] == ["use1/hot"]
    assert dry["cost"]["after"]["total"] < dry["cost"]["before"]["total"]
    second = terminal.json("tier-apply", "tier", "apply")
    assert drops[0]["snapshot"] in [move["snapshot"] for move in second["done"]]
    assert set(_stores_of(terminal)) == {("euw4/warm", "use1/warm"), ("euw4/warm", "use1/hot")}
    status = terminal.json("site-status", "site", "status")
    assert {one["store"]: (one["there"], one["wanted"]) for one in status["arrivals"]} == {
        "use1/hot": (2, 2),
        "euw4/warm": (2, 2),
    }
    synced = terminal.json("site-sync", "site", "sync")
    assert synced["copied"] == []
    assert ("euw4/warm", "use1/warm") in _stores_of(terminal)
    assert terminal.json("tier-apply", "tier", "apply")["done"] == []


def test_a_new_site_gets_what_only_the_warm_store_has(terminal: Terminal, declared: Path) -> None:
    terminal.ok("site", "sync")
    _measured(terminal)
    terminal.ok("tier", "apply")
    _measured(terminal)
    _age(terminal.folder / "use1-hot")
    terminal.ok("tier", "apply")
    (terminal.folder / "euw4").rename(terminal.folder / "gone")
    synced = terminal.json("site-sync", "site", "sync")
    assert sorted(one["source"] for one in synced["copied"]) == ["use1/hot", "use1/warm"]
    assert sum(one["arrived"] for one in synced["copied"]) == 2
    assert {one["target"] for one in synced["copied"]} == {"euw4/warm"}


def test_what_was_moved_is_restored_by_its_asset(terminal: Terminal, declared: Path) -> None:
    terminal.ok("site", "sync")
    _measured(terminal)
    terminal.ok("tier", "apply")
    _measured(terminal)
    _age(terminal.folder / "use1-hot")
    dropped = [move for move in terminal.json("tier-apply", "tier", "apply")["done"] if move["verb"] == "drop"]
    done = terminal.ok("restore", f"llama@{dropped[0]['snapshot']}", str(terminal.folder / "back"))
    assert "read from use1/warm" in done.err
    assert (terminal.folder / "back" / "model.safetensors").stat().st_size > 6 << 20


def test_prewarm_says_when_it_has_to_begin_and_keeps_it_hot(terminal: Terminal, declared: Path) -> None:
    terminal.ok("site", "sync")
    _measured(terminal)
    terminal.ok("tier", "apply")
    _measured(terminal)
    _age(terminal.folder / "use1-hot")
    terminal.ok("tier", "apply")
    moved = next(
        one["snapshot"]
        for one in terminal.json("tier-explain", "tier", "explain", "llama")["decisions"]
        if one["lies_at"] == ["euw4/warm", "use1/warm"]
    )
    later = terminal.json("tier-prewarm", "tier", "prewarm", f"llama@{moved}", "--site", "use1", "--by", "2h")
    assert later["in_time"] is True
    assert later["done"] == []
    assert later["start"] > later["at"]
    now = terminal.json("tier-prewarm", "tier", "prewarm", f"llama@{moved}", "--site", "use1", "--for", "3h")
    assert [move["store"] for move in now["done"]] == ["use1/hot"]
    _age(terminal.folder / "use1-hot")
    plan = terminal.json("tier-plan", "tier", "plan")
    assert not [move for move in plan["moves"] if move["verb"] == "drop"]
    raised = next(Path(os.environ["XDG_STATE_HOME"]).glob("holdfast/tiers/acme.json"))
    raised.unlink()
    assert [m["store"] for m in terminal.json("tier-plan", "tier", "plan")["moves"] if m["verb"] == "drop"]


def test_what_rounds_decoded_is_read_back_whole_before_a_drop_relies_on_it(terminal: Terminal, declared: Path) -> None:
    terminal.ok("site", "sync")  # decodes the newest at euw4
    _save(terminal, 3)
    terminal.ok("site", "sync")
    _measured(terminal)
    terminal.ok("tier", "apply")
    _measured(terminal)
    _age(terminal.folder / "use1-hot")
    applied = terminal.json("tier-apply", "tier", "apply")
    assert [move["verb"] for move in applied["done"]] == ["drop", "drop"]
    assert applied["held"] == []
    assert applied["read_back"] > 0
    status = terminal.json("site-status", "site", "status")
    assert {one["protection"] for one in status["exposures"]} == {"verified"}


def test_what_is_not_declared_is_named(terminal: Terminal, declared: Path) -> None:
    assert terminal.run("tier", "plan", "--asset", "lama").code == 3
    assert terminal.run("tier", "explain", "llama@nothing").code == 3
    assert terminal.run("tier", "prewarm", "llama", "--site", "aps1").code == 3
    for option, value in (("--by", "9999-12-31T23:59:59Z"), ("--for", "99999999d")):
        late = terminal.run("tier", "prewarm", "llama", "--site", "use1", option, value)
        assert (late.code, "ten years" in late.err) == (2, True)
    done = terminal.run("tier", "prewarm", "llama", "--site", "use1", "--by", "soon")
    assert (done.code, "neither a time nor a duration" in done.err) == (2, True)


def test_a_round_copies_only_what_no_tier_of_a_site_has(terminal: Terminal, declared: Path) -> None:
    cold = f"cold: {{url: {terminal.folder}/euw4-cold, restore: 1s}}"
    text = declared.read_text()
    one = f"stores: {{warm: {{url: {terminal.folder}/euw4, restore: 1s}}}}"
    assert one in text
    declared.write_text(text.replace(one, f"{one[:-1]}, {cold}}}"))
    terminal.ok("site", "sync")
    shutil.copytree(terminal.folder / "euw4", terminal.folder / "euw4-cold")
    listed = terminal.json("snapshot-list", "snapshot", "list", "--vault", str(terminal.folder / "euw4"))
    old = min(snapshot["id"] for snapshot in listed["snapshots"])
    terminal.ok("snapshot", "drop", old, "--vault", str(terminal.folder / "euw4"))
    assert terminal.json("site-sync", "site", "sync")["copied"] == []
    status = terminal.json("site-status", "site", "status")
    assert {one["store"]: one["there"] for one in status["arrivals"]} == {"use1/hot": 2, "euw4/warm": 2}
    (terminal.folder / "euw4-cold").rename(terminal.folder / "away")
    terminal.ok("vault", "create", str(terminal.folder / "euw4-cold"))  # another vault's store gives no answer
    cut = terminal.json("site-sync", "site", "sync", code=1)
    assert cut["copied"] == []
    assert any("euw4/cold does not answer" in text for text in cut["stuck"])
    shutil.rmtree(terminal.folder / "euw4-cold")  # an empty store answers: what it had is lost
    again = terminal.json("site-sync", "site", "sync")
    assert [(one["target"], one["arrived"]) for one in again["copied"]] == [("euw4/warm", 1)]


def test_a_restore_measures_the_store_and_counts_as_a_read(
    terminal: Terminal, declared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_SITE", "use1")
    declared.write_text(declared.read_text().replace("unread: 1s", "unread: 1d"))
    before = terminal.json("tier-plan", "tier", "plan")["not_measured"]
    assert any("restores from use1/hot to use1" in note for note in before)
    assert any("verif" in note for note in before)
    listed = terminal.json("snapshot-list", "snapshot", "list", "--vault", str(terminal.folder / "use1-hot"))
    old = min(one["id"] for one in listed["snapshots"])
    assert "unread" in _why(terminal, old)
    terminal.ok("restore", f"llama@{old}", str(terminal.folder / "rehearsal"), "--rehearsal")
    assert "unread" in _why(terminal, old)  # a drill needs nothing hot
    after = terminal.json("tier-plan", "tier", "plan")["not_measured"]
    assert not any("from use1/hot to use1" in note or "verif" in note for note in after), after
    terminal.ok("restore", f"llama@{old}", str(terminal.folder / "back"))
    assert "was read" in _why(terminal, old)


def _why(terminal: Terminal, snapshot: str) -> str:
    explained = terminal.json("tier-explain", "tier", "explain", f"llama@{snapshot}")
    why: str = explained["decisions"][0]["why"]
    return why


def test_loading_and_opening_files_count_as_reads(terminal: Terminal, declared: Path) -> None:
    declared.write_text(declared.read_text().replace("unread: 1s", "unread: 1d"))
    url = str(terminal.folder / "use1-hot")
    listed = terminal.json("snapshot-list", "snapshot", "list", "--vault", url)
    old = min(one["id"] for one in listed["snapshots"])
    assert "w" in holdfast.open(url).load(f"llama@{old}")
    assert "was read" in _why(terminal, old)
    next(Path(os.environ["XDG_STATE_HOME"]).glob("holdfast/uses/*.jsonl")).unlink()
    uses._said.clear()  # as another process
    with fsspec.open(f"holdfast:///llama@{old}/model.safetensors", vault=url) as file:
        assert len(file.read(10)) == 10
    assert "was read" in _why(terminal, old)


_PRICES = """\
version: 1
currency: USD
as_of: 2027-01-31
transfer: []
storage:
  - {name: aws/fsx-lustre-ssd-125, region: us-east-1, storage: 14.5, source: our contract}
"""


def test_own_prices_count_before_the_list_prices(
    terminal: Terminal, declared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = terminal.folder / "prices.yaml"
    book.write_text(_PRICES)
    listed = terminal.json("tier-plan", "tier", "plan")["cost"]["before"]["total"]
    own = terminal.json("tier-plan", "tier", "plan", "--prices", str(book))["cost"]["before"]["total"]
    assert own == pytest.approx(100 * listed)
    monkeypatch.setenv("HOLDFAST_PRICES", str(book))
    assert terminal.json("tier-plan", "tier", "apply", "--dry-run")["cost"]["before"]["total"] == pytest.approx(own)
    for wrong, said in (
        (_PRICES.replace("14.5", "dear"), "line 6: storage[0].storage"),
        (_PRICES.replace("2027-01-31", "yesterday"), "line 3: `yesterday` is no day"),
        (
            _PRICES + "  - {name: aws/fsx-lustre-ssd-125, region: us-east-1, storage: 1, source: x}\n",
            "line 7: there are",
        ),
        (_PRICES.replace("currency: USD", "currency: EUR"), "cannot be mixed"),
        (_PRICES.replace("storage: 14.5", "storage: 14.5, discount: 3"), "line 6: storage[0]: nothing is called"),
    ):
        book.write_text(wrong)
        done = terminal.run("tier", "plan")
        assert (done.code, said in done.err) == (2, True), done.err
    book.unlink()
    assert terminal.run("tier", "plan").code == 3
