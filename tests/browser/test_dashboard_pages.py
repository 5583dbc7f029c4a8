"""Every page: accessible in light and dark, on a phone, without scripts; hostile words stay words; twins agree."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from dashboard_world import DashboardWorld
from playwright.sync_api import Page, expect

Visit = Callable[..., Page]
_PAGES = (
    "/",
    "/?find=nothing-fits",
    "/sites",
    "/assets/llama-pretrain",
    "/assets/feature-store",
    "/runs",
    "/runs/RUN",
    "/drills",
    "/evidence",
    "/evidence/RUN",
    "/findings",
    "/audit",
    "/keys",
    "/incidents",
    "/catalogue",
    "/device",
    "/login",
    "/gallery",
    "/nothing-here",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_grave_fault_of_accessibility(
    visit: Visit, address: str, world: DashboardWorld, scheme: str
) -> None:
    page = visit("olga", color_scheme=scheme)
    axe = Axe()
    faults = []
    for path in _PAGES:
        page.goto(address + path.replace("RUN", world.rehearsed.run))
        found = axe.run(page).response["violations"]
        faults += [
            f"{path}: {one['id']} ({one['impact']}): {one['nodes'][0]['html'][:160]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
    assert not faults, "\n".join(faults)


def test_a_fault_of_accessibility_that_is_planted_is_found(visit: Visit, address: str) -> None:
    """Else the test above would say nothing."""
    page = visit("olga")
    page.goto(f"{address}/keys")
    page.evaluate(
        """() => {
            const main = document.getElementById("main");
            main.append(document.createElement("input"), Object.assign(document.createElement("img"), {src: "data:,"}));
            const pale = Object.assign(document.createElement("p"), {textContent: "hardly to be read"});
            pale.style.color = "#999";
            pale.style.background = "#bbb";
            main.append(pale);
        }"""
    )
    found = {one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")}
    assert found == {"label", "image-alt", "color-contrast"}


def test_a_page_that_is_not_renewed_says_how_old_it_is(visit: Visit, address: str) -> None:
    page = visit("ada")
    page.clock.install()
    page.goto(f"{address}/")
    old = page.locator("#old")
    expect(page.locator("#answer")).to_have_text(re.compile("^1 of 4 assets could not be recovered as promised"))
    expect(old).to_be_hidden()
    page.route(f"{address}/", lambda route: route.fulfill(status=429))
    page.clock.run_for(70_000)
    expect(old).to_be_visible()
    expect(old).to_contain_text("the server answers with an error")
    page.unroute(f"{address}/")
    page.clock.run_for(20_000)
    expect(old).to_be_hidden()


def test_a_page_is_renewed_around_what_the_keyboard_is_at(visit: Visit, address: str) -> None:
    page = visit("ada")
    page.clock.install()
    page.goto(f"{address}/")
    link = page.get_by_role("link", name="tokenizer", exact=True)
    link.focus()
    before = page.locator("#shown").inner_text()
    page.wait_for_timeout(1100)
    page.clock.run_for(16_000)
    expect(page.locator("#shown")).not_to_have_text(before)
    expect(link).to_be_focused()


def test_every_page_fits_a_phone_and_works_without_scripts(visit: Visit, address: str, world: DashboardWorld) -> None:
    page = visit("olga", viewport={"width": 320, "height": 844}, java_script_enabled=False)
    for path in _PAGES:
        page.goto(address + path.replace("RUN", world.rehearsed.run))
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        width = page.locator("html").bounding_box()
        assert width is not None and width["width"] <= 320, path
        body = page.locator("main").bounding_box()
        assert body is not None and body["x"] + body["width"] <= 320.5, path
    page.goto(f"{address}/")
    page.get_by_label("Name contains").fill("token")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#assets tbody tr")).to_have_count(1)
    expect(page.get_by_role("link", name="Recoveries")).not_to_be_visible()
    page.get_by_role("link", name="Menu").click()
    page.get_by_role("link", name="Recoveries").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Recoveries")


def test_the_keyboard_alone_reaches_the_content(visit: Visit, address: str) -> None:
    page = visit("olga")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    inside = page.evaluate("document.getElementById('main').contains(document.activeElement)")
    assert inside
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_hostile_words_stay_words(visit: Visit, address: str, world: DashboardWorld) -> None:
    """In what people may type, and in what was saved."""
    page = visit("ada")
    hostile = "<img src=x onerror=\"document.title='taken'\">'\"</script><script>document.title='taken'</script>"
    for path in (
        "/?find=",
        "/?state=",
        "/?site=",
        "/sites?find=",
        "/login?next=",
        "/login?failed=",
        "/device?user_code=",
    ):
        page.goto(f"{address}{path}{hostile}")
        assert page.locator("main img").count() == 0 and page.title() != "taken", path
    for path in ("/assets/", "/runs/", "/drills/", "/evidence/"):
        page.goto(f"{address}{path}<img src=x onerror=alert(1)>")
        assert page.locator("main img").count() == 0, path
    page.goto(f"{address}/drills")
    page.get_by_label("Why").fill(hostile)
    page.get_by_role("button", name="Stop all drills").click()
    expect(page.locator("#list")).to_contain_text("onerror=")
    assert page.locator("#list img").count() == 0 and page.locator("#list script").count() == 0
    page.get_by_role("button", name="Release the lever").click()
    page.goto(f"{address}/assets/llama-pretrain")
    options = page.locator("select[name=from] option").evaluate_all("all => all.map(one => one.value)")
    page.goto(f"{address}/assets/llama-pretrain/diff?from={options[1]}&to={options[0]}")
    assert page.locator("main img").count() == 0


def test_a_twin_says_what_its_page_shows(visit: Visit, address: str, world: DashboardWorld) -> None:
    page = visit("olga")
    for path in _PAGES:
        if path in ("/device", "/login", "/nothing-here", "/evidence/RUN"):
            continue
        page.goto(address + path.replace("RUN", world.rehearsed.run))
        twin = page.get_by_role("link", name="this page as JSON").get_attribute("href")
        answer = page.request.get(f"{address}{twin}")
        assert answer.ok and answer.headers["content-type"].startswith("application/json"), path
        assert json.loads(answer.body())["organisation"] == "acme"
    page.goto(f"{address}/")
    facts = json.loads(page.request.get(f"{address}/index.json").body())
    assert facts["total"] == 4 and sum(facts["tallies"].values()) == 4
    shown = page.locator("#assets tbody th a").all_inner_texts()
    assert shown == [one["asset"] for one in facts["assets"]]
