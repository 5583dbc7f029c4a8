"""Words that strangers choose, wherever a page shows some: they stay words, on every page that there is.

Last of the tests of the dashboard: what is planted here is taken away again as far as it can be.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any
from unittest import mock

import pytest
from dashboard_world import DashboardWorld
from playwright.sync_api import Browser, Page

from holdfast.control.authority.api_key_files import create_api_key
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.control.cataloguing.filling import Cataloguing
from holdfast.control.sites.states import Condition
from holdfast.control.sites.telling import say, spread
from holdfast.web.pages.routes import page_routes

Visit = Callable[..., Page]
EVIL = (
    "<img src=x onerror=alert(1)>\"'><script>alert(2)</script></title></textarea><svg onload=alert(3)>"
    " javascript:alert(4) {{ 7*7 }}${7*7}{% raw %} ' onmouseover='alert(5) &lt;raw&gt;"
)
UNSEEN = "\u202egnp.exe\u2066\u200f \x1b[31mred\x1b[0m\x07\u2028"
PARTS = {"{asset:str}": "llama-pretrain", "{run:str}": "RUN", "{drill:str}": "0" * 9, "{name:str}": "x"}
PLANTED = (  # the name of each place that something was planted in stands before it
    "alertname", "summary", "description", "noted", "resolved", "lever", "paused", "person", "tensor", "metric", "site",
)  # fmt: skip


class Asking:
    """`address` asked by the API key of somebody."""

    def __init__(self, address: str, keys: dict[str, str]) -> None:
        self._address, self._keys = address, keys

    def get(self, path: str, person: str) -> tuple[int, str, str]:
        """Status, content type, text."""
        return self._ask(urllib.request.Request(self._address + path, headers={"Accept": "text/html"}), person)

    def post(self, path: str, person: str, body: Any) -> tuple[int, Any]:
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        status, _, text = self._ask(urllib.request.Request(self._address + path, data, headers), person)
        return status, json.loads(text or "null")

    def _ask(self, request: urllib.request.Request, person: str) -> tuple[int, str, str]:
        request.add_header("Authorization", f"Bearer {self._keys[person]}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers["Content-Type"] or "", answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"] or "", error.read().decode()


def hostile(name: str) -> str:
    return f"{name} {EVIL}{UNSEEN}"


def told(world: DashboardWorld, condition: Condition | None, reason: str) -> None:
    """Of a site, at all stores."""
    sites = world.sites()
    say(sites, "weu", condition, reason, "keeper")
    spread(sites)
    Cataloguing(sites).update()


@pytest.fixture(scope="module")
def planted(world: DashboardWorld, address: str) -> Iterator[tuple[Asking, str]]:
    """Who asks, and the run whose journal holds such words."""
    asking = Asking(address, world.keys)
    with mock.patch.dict(os.environ, world.environment, clear=True):
        home, person = AuthorityHome(world.environment), f"person {EVIL}"[:200]
        world.keys["mallory"] = create_api_key(home, "mallory", roles=("owner",), person=person)[1].text
        told(world, Condition.DRAINING, f"site {EVIL}")
    alerts = [
        {
            "status": "firing",
            "fingerprint": f"{number:016x}",
            "labels": dict.fromkeys(("severity", "asset", "site", EVIL), EVIL) | {"alertname": hostile("alertname")},
            "annotations": {EVIL: EVIL, "summary": hostile("summary"), "description": hostile("description")},
            "startsAt": "2026-11-22T00:00:00Z",
        }
        for number in (1, 2)
    ]
    status, found = asking.post("/api/v1/alerts/alertmanager", "ada", {"version": "4", "alerts": alerts})
    assert status == 200 and len(found["incidents"]) == 2, found
    first, second = found["incidents"]
    assert asking.post(f"/api/v1/incidents/{first}/acknowledgement", "ada", {"note": f"noted {EVIL}"})[0] == 200
    assert asking.post(f"/api/v1/incidents/{second}/resolution", "ada", {"note": f"resolved {EVIL}"})[0] == 200
    assert asking.post("/api/v1/drills/stop", "ada", {"reason": f"lever {EVIL}"})[0] == 200
    status, plan = asking.post("/api/v1/plans", "mallory", {"name": "pretrain-to-europe"})
    assert status == 201, plan
    run = plan["run"]
    assert asking.post(f"/api/v1/runs/{run}/said", "mallory", {"deed": "paused", "reason": f"paused {EVIL}"})[0] == 200
    for bad in (UNSEEN, "\x00", "\r\nX-Evil: 1"):
        status, _ = asking.post(f"/api/v1/runs/{run}/said", "ada", {"deed": "paused", "reason": f"x{bad}"})
        assert status == 400, bad
    yield asking, run
    assert asking.post(f"/api/v1/incidents/{first}/resolution", "ada", {"note": "it was a test"})[0] == 200
    assert asking.post("/api/v1/drills/stop", "ada", {"release": True})[0] == 200
    with mock.patch.dict(os.environ, world.environment, clear=True):
        told(world, None, "it was a test")


def pages(run: str) -> list[str]:
    """All that a browser can look at."""
    found = set()
    for route in page_routes:
        for path in route.paths if "GET" in route.http_methods else ():
            for part, value in PARTS.items():
                path = path.replace(part, value)
            if "{" not in path and not path.endswith((".json", ".zip")) and "/static/" not in path:
                found.add(path.replace("RUN", run))
    word = urllib.parse.quote(EVIL)
    found |= {f"/assets/{word}", f"/runs/{word}", f"/?find={word}", f"/sites?find={word}", f"/login?next={word}"}
    found |= {f"/assets/llama-pretrain/diff?from={word}&to={word}", f"/drills/{word}", f"/device?user_code={word}"}
    return sorted(found)


class Elements(HTMLParser):
    """What a browser would make of it: what no page of ours has stands in `wrong`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in ("img", "iframe", "object", "embed", "base", "style", "raw"):
            self.wrong.append(f"<{tag}>")
        if tag == "script" and not given.get("src", "").startswith("/static/holdfast.js?"):
            self.wrong.append("a script")
        self.wrong += [f"{tag} {name}" for name in given if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action", "formaction", "data-events", "xlink:href"):
            address = given.get(name, "/")
            if not address.startswith(("/", "#")) or address.startswith(("//", "/\\")):
                self.wrong.append(f"{tag} {name}={address[:80]}")


def test_no_page_takes_a_word_for_anything_else(planted: tuple[Asking, str]) -> None:
    asking, run = planted
    wrong, seen = [], ""
    shown = pages(run)
    assert len(shown) >= 24, shown
    asset = json.loads(asking.get("/assets/llama-pretrain/index.json", "mallory")[2])
    newest, before = [one["id"] for one in asset["snapshots"][:2]]
    shown.append(f"/assets/llama-pretrain/diff?from={before}&to={newest}")
    for path in shown:
        status, kind, text = asking.get(path, "mallory")
        assert status < 500 and kind.startswith("text/html"), (path, status, kind)
        wrong += [f"{path[:60]}: {one}" for one in Elements(text).wrong]
        wrong += [f"{path[:60]}: {one!r}" for one in UNSEEN if not one.isprintable() and one in text]
        wrong += [f"{path[:60]}: {EVIL[:12]}" for one in ("<img src=x", "<svg onload", "<script>") if one in text]
        if "49$" in text or ("7*7" in text and "{{ 7*7 }}" not in text):
            wrong.append(f"{path[:60]}: a template in a template")
        seen += text
    assert not wrong, "\n".join(wrong)
    while "metric&lt;script&gt;" not in seen:  # what takes long to read is shown when it was read
        seen += asking.get("/assets/llama-pretrain", "mallory")[2]
    seen = seen.replace("metric&lt;script&gt;", "metric &lt;img src=x onerror=alert(1)&gt;")  # it has no spaces
    for _ in range(100):  # a page says so where a store has not answered in time, and is loaded once more
        if "resolved &lt;img" in seen:
            break
        time.sleep(0.2)
        seen += asking.get("/incidents", "mallory")[2]
    missing = [name for name in PLANTED if f"{name} &lt;img src=x onerror=alert(1)&gt;" not in seen]
    assert not missing, f"not shown on any page, so that nothing is said of them: {missing}"


def test_no_page_does_anything_by_them_in_a_browser(planted: tuple[Asking, str], visit: Visit, address: str) -> None:
    """A dialog, a request elsewhere, a word of the content security policy in the console: `visit` looks for those."""
    _, run = planted
    page = visit("mallory")
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    most = ("/runs", "/drills", "/keys", "/incidents", "/sites", "/assets/llama-pretrain")
    for path in [one for one in pages(run) if "%3C" in one or run in one or one in ("/", *most)]:
        page.goto(address + path, wait_until="domcontentloaded")
        made = page.evaluate(
            "[...document.querySelectorAll('img, iframe, object, embed, [onerror], [onload], [onmouseover]')].length"
        )
        assert made == 0, path
    assert not dialogs


def test_a_page_that_forgot_would_be_found(browser: Browser, address: str) -> None:
    """Else the tests above would say nothing."""
    assert Elements(f"<p title='{EVIL}'>{EVIL}</p>").wrong
    page = browser.new_page()
    page.goto(f"{address}/login")
    heard: list[str] = []
    page.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
    page.evaluate("document.addEventListener('securitypolicyviolation', one => document.title = one.violatedDirective)")
    page.evaluate("document.getElementById('main').innerHTML += '<img src=\"data:,\" onerror=alert(1)>'")
    page.wait_for_function("document.title.startsWith('script-src')")
    assert not heard, "the policy keeps it from running"
    page.close()
