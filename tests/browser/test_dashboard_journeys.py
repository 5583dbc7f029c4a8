"""What people do: sign in, look, plan, approve as somebody else, watch, stop, take evidence away, sign out."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from dashboard_world import DashboardWorld
from playwright.sync_api import Page, expect

Visit = Callable[..., Page]
_VERIFY = Path(__file__).parents[2] / "docs" / "verify-evidence.py"


def test_sign_in_look_filter_open_and_sign_out(visit: Visit, address: str) -> None:
    page = visit()
    page.goto(f"{address}/sites")
    expect(page).to_have_url(re.compile("/login"))
    page.get_by_label("API key or token").fill("hfk_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("status")).to_contain_text("not accepted")

    page = visit("ada")
    rows = page.locator("#assets tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.first).to_contain_text("reward-model")
    expect(rows.first).to_contain_text("Breached")
    page.get_by_label("Name contains").fill("llama")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile("find=llama"))
    page.get_by_role("link", name="llama-pretrain", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("llama-pretrain")
    expect(page.locator("main")).to_contain_text("step 2,000")
    expect(page.get_by_role("img", name=re.compile("^Norm of all tensors.*now"))).to_be_visible()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("table").first).to_contain_text("embed.weight")
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{address}/")
    expect(page).to_have_url(re.compile("/login"))


def _planned(page: Page, address: str, name: str, kind: str) -> str:
    page.goto(f"{address}/catalogue")
    page.get_by_role("button", name=f"{kind} of {name}", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    return page.url.partition("?")[0]


def _a_recovery_is_approved_by_somebody_else_watched_and_stopped(
    visit: Visit, address: str, world: DashboardWorld
) -> None:
    ada = visit("ada")
    run = _planned(ada, address, "tokenizer-to-europe", "Recovery")
    expect(ada.locator("#approvals")).to_contain_text("Nobody has approved it yet")

    ada.get_by_role("button", name="Approve this plan").click()  # their own
    expect(ada.get_by_role("heading", level=1)).to_have_text(re.compile("Not allowed|This was refused"))
    ben = visit("ben")
    ben.goto(run)
    ben.get_by_role("button", name="Approve this plan").click()
    expect(ben.get_by_role("status").first).to_contain_text("Your approval is signed")
    expect(ben.locator("#approvals")).to_contain_text("ben")

    ada.goto(run)
    ada.get_by_role("button", name="Start the recovery").click()
    watching = visit("ben")
    watching.goto(run)
    state = watching.locator("#state")
    expect(state).to_contain_text("Under way", timeout=40_000)
    expect(watching.locator("#live")).to_have_text("live")
    expect(watching.locator(".node.begun")).to_contain_text("wait for the line", timeout=40_000)
    expect(watching.get_by_role("progressbar")).to_have_attribute("value", re.compile("[1-9]"))

    ben.goto(run)
    ben.get_by_label("Why it is stopped").fill("the wrong asset")
    ben.get_by_role("button", name="Stop, and take back what was done").click()
    expect(ben.get_by_role("status").first).to_contain_text("The run stops")
    world.go.touch()
    try:
        expect(state).to_contain_text("Stopped", timeout=40_000)  # without a reload: by events
        expect(watching.locator("#entries")).to_contain_text("the wrong asset")
    finally:
        world.go.unlink()


def _a_rehearsal_leaves_evidence_that_a_stranger_verifies(visit: Visit, address: str, tmp_path: Path) -> None:
    page = visit("ada")
    run = _planned(page, address, "llama-pretrain", "Rehearsal")
    page.get_by_role("button", name="Start the rehearsal").click()
    expect(page.locator("#state")).to_contain_text("Passed", timeout=40_000)
    page.goto(run)
    page.get_by_role("button", name="Write its evidence").click()
    expect(page.get_by_role("status").first).to_contain_text("A worker writes the evidence")
    page.get_by_role("link", name="Its evidence").click()
    for _ in range(40):  # it is written when the run has ended
        if page.get_by_text("Signed by").count():
            break
        page.wait_for_timeout(500)
        page.reload()
    expect(page.locator("main")).to_contain_text("Signed by")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all files").click()
    archive = tmp_path / download.value.suggested_filename
    download.value.save_as(archive)
    with zipfile.ZipFile(archive) as files:
        files.extractall(tmp_path)
    folder = tmp_path / archive.stem
    done = subprocess.run([sys.executable, str(_VERIFY), str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    record = folder / "evidence.json"
    record.write_bytes(record.read_bytes().replace(b"PASSED", b"FAILED", 1))
    changed = subprocess.run([sys.executable, str(_VERIFY), str(folder)], capture_output=True, text=True)
    assert changed.returncode != 0


def _a_drill_is_started_and_the_lever_stops_them_all(visit: Visit, address: str) -> None:
    page = visit("ada")
    page.goto(f"{address}/drills")
    page.get_by_role("button", name="Start weekly-loss").click()
    expect(page.locator("main")).to_contain_text("handed to the workers")
    ended = page.locator("main").get_by_role("table", name="Drills that have ended")
    expect(ended).to_contain_text("weekly-loss", timeout=60_000)
    ended.get_by_role("link", name="weekly-loss").click()
    expect(page.get_by_role("heading", name="What was done, without a fault")).to_be_visible()

    page.goto(f"{address}/drills")
    page.get_by_label("Why").fill("a real incident")
    page.get_by_role("button", name="Stop all drills").click()
    expect(page.locator("#list")).to_contain_text("a real incident")
    expect(page.get_by_role("button", name="Start weekly-loss")).to_be_disabled()
    page.get_by_role("button", name="Release the lever").click()
    expect(page.get_by_role("button", name="Start weekly-loss")).to_be_enabled()


def test_an_auditor_sees_and_changes_nothing_and_a_trainer_sees_little(visit: Visit, address: str) -> None:
    page = visit("audrey")
    page.goto(f"{address}/keys")
    expect(page.get_by_role("table", name="Members")).to_contain_text("keeper")
    page.goto(f"{address}/drills")
    page.get_by_label("Why").fill("no reason")
    page.get_by_role("button", name="Stop all drills").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Not allowed")

    tim = visit("tim")
    expect(tim.get_by_role("heading", level=1)).to_have_text("Not allowed")


def test_what_people_do_from_a_drill_to_a_recovery_that_is_stopped(
    visit: Visit, address: str, world: DashboardWorld, tmp_path: Path
) -> None:
    """In this order: the recovery fences a site, and then no drill would be safe."""
    _a_drill_is_started_and_the_lever_stops_them_all(visit, address)
    _a_rehearsal_leaves_evidence_that_a_stranger_verifies(visit, address, tmp_path)
    _a_recovery_is_approved_by_somebody_else_watched_and_stopped(visit, address, world)
