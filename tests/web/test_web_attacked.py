"""Forms that other sites send, places to go on to, headers and paths that a request makes up.

Over every route that there is, so that a new one is tried by being there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, ClassVar

import pytest
from markupsafe import Markup
from tests.web.conftest import ORIGIN, Client, Served
from tests.web.test_route_policies import PARTS

from holdfast.cli.serving import operations
from holdfast.control.service.context import open_service
from holdfast.web.app import create_app
from holdfast.web.pages.rendering import STATIC, environment
from holdfast.web.security.browsers import SAFE
from holdfast.web.security.guarding import routes_of
from holdfast.web.settings import ServerSettings

OWN = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
PAGE = {"Accept": "text/html"}
PARTS_HERE = PARTS | {"{name:str}": "quarterly", "{verb:str}": "pause"}
WITHOUT_TOKEN = {  # whoever adds one here says why no other site's page can do harm by it
    "/session": "it asks which page it comes from, and signs in by what the form holds",
    "/api/v1/device/code": "it takes no session into account, and what it gives is nobody's yet",
    "/api/v1/device/token": "it takes no session into account: the code of the device is what it shows",
}
ELSEWHERE = (
    "https://evil.example/", "//evil.example", "///evil.example", "/\\evil.example", "\\/evil.example",
    "/\\/evil.example",
    "%2f%2fevil.example", "/%2f%2fevil.example", "/%5cevil.example", "javascript:alert(1)", "JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>", "/\t/evil.example", "/\n/evil.example", "\t//evil.example",
    "http:evil.example", "https:/evil.example", "//evil.example@testserver.local", "http://testserver.local@evil.example",
    "/.//evil.example", "/..//evil.example", "/\u2028/evil.example", "/%0d%0aSet-Cookie:a=b", "/x\r\nSet-Cookie: a=b",
    "////evil.example//..", "/a/..//../evil", "?//evil.example", "", "/" + "a" * 5000,
)  # fmt: skip
CLIMBING = (
    "..", "../../../etc/passwd", "%2e%2e", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%2f..%2fetc%2fpasswd", "..%5c..%5cetc",
    "%252e%252e%252fetc%252fpasswd", "....//....//etc/passwd", "%00", "holdfast.css%00.png", "/etc/passwd",
    "%2fetc%2fpasswd",
    "..;/etc/passwd", "%c0%ae%c0%ae%c0%af", "~root", ".", "holdfast.css/../../app.py", "%e2%80%a6/app.py",
    "file:///etc/passwd",
)  # fmt: skip
EVIL = "x\r\nX-Evil: 1\r\n\r\n<script>"
EVIL_IN_PATH = "x%0d%0aX-Evil:%201%0d%0a%0d%0a%3Cscript%3E"


@pytest.fixture(scope="module")
def dashboard(served: Served) -> Iterator[Served]:
    """The same organisation, with its pages."""
    service = open_service(served.folder / "holdfast.yaml", work=False)
    app = create_app(service, ServerSettings(tries=1_000_000, requests=1e6), operations())
    with Client(app, base_url=ORIGIN) as client:
        yield Served(app, client, served.keys, served.folder)
    service.close()


def path_of(template: str, **parts: str) -> str:
    for part, value in PARTS_HERE.items():
        template = template.replace(part, parts.get(part.strip("{}").partition(":")[0], value))
    assert "{" not in template, f"give {template} an example"
    return template


def routes(served: Served, *methods: str) -> list[tuple[str, str]]:
    return [(method, path) for method, path, _ in routes_of(served.app) if not methods or method in methods]


def token_of(served: Served, cookies: dict[str, str]) -> str:
    return str(served.app.state.kept.session(cookies["holdfast"]).csrf)


def test_what_changes_something_needs_the_token_of_the_session(dashboard: Served) -> None:
    """Every route that is no mere look, there is no list of them to forget one in."""
    cookies, other = dashboard.login("owner"), dashboard.login("operator")
    mine, theirs = token_of(dashboard, cookies), token_of(dashboard, other)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    tried = set()
    for method, template in routes(dashboard):
        if method in SAFE or template in WITHOUT_TOKEN:
            continue
        path = path_of(template)
        attempts: list[tuple[str, dict[str, str], str]] = [
            ("no token", OWN, ""),
            ("another session's", OWN, f"_csrf={theirs}"),
            ("another session's, for a script", OWN | {"X-CSRF-Token": theirs}, ""),
            ("another site", {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, f"_csrf={mine}"),
            ("a sibling's site", {"Sec-Fetch-Site": "same-site"}, f"_csrf={mine}"),
            ("nobody says from where", {}, f"_csrf={mine}"),
            ("in the address", OWN, ""),
        ]
        for what, headers, body in attempts:
            asked = f"{path}?_csrf={mine}" if what == "in the address" else path
            answer = dashboard.client.request(method, asked, content=body, headers=headers | form, cookies=cookies)
            assert answer.status_code == 403, (what, method, template, answer.text)
            assert "token" in answer.text or "page" in answer.text, (what, template, answer.text)
        tried.add(template)
    assert {"/runs/{run:str}/approve", "/session/end", "/session/device", "/api/v1/plans"} <= tried
    assert {path for method, path in routes(dashboard) if method not in SAFE} == tried | set(WITHOUT_TOKEN)
    assert {method for method, _ in routes(dashboard)} <= {"GET", "HEAD", "POST"}


class Forms(HTMLParser):
    """`forms`: (method, action, names of fields). `links`: addresses of everything that has one."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[tuple[str, str, list[str]]] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((given.get("method", "get").lower(), given.get("action", ""), []))
        elif tag in ("input", "select", "textarea") and self.forms:
            self.forms[-1][2].append(given.get("name", ""))
        self.links += [given[name] for name in ("href", "action", "src", "formaction", "data-events") if name in given]


def test_every_form_of_every_page_carries_it(dashboard: Served) -> None:
    cookies = dashboard.login("owner")
    run = dashboard.client.post(
        "/api/v1/plans", json={"name": "elsewhere"}, headers=dashboard.headers("operator")
    ).json()["run"]
    seen = set()
    for _, template in routes(dashboard, "GET"):
        if template.startswith("/api/") or template.endswith((".json", "/events", ".zip", "/proof")):
            continue
        answer = dashboard.client.get(path_of(template, run=run), headers=PAGE, cookies=cookies)
        if "text/html" not in answer.headers.get("content-type", ""):
            continue
        for method, action, fields in Forms(answer.text).forms:
            assert method in ("get", "post")
            assert action.startswith("/") and not action.startswith("//"), (template, action)
            if method == "post" and action != "/session":
                assert "_csrf" in fields, (template, action)
                seen.add(re.sub(run, "RUN", action))
    assert {"/session/end", "/runs/RUN/approve", "/runs/RUN/start", "/drills/stop", "/catalogue/plan"} <= seen


def test_looking_changes_nothing(dashboard: Served) -> None:
    """A page of another site can make a browser load any address: by that nothing is done."""
    cookies = dashboard.login("owner")
    for method, template in routes(dashboard):
        if method in SAFE or ("GET", template) in routes(dashboard):
            continue
        answer = dashboard.client.get(path_of(template), cookies=cookies)
        assert answer.status_code in (404, 405), (template, answer.status_code)


@pytest.mark.parametrize("wanted", ELSEWHERE)
def test_nobody_is_sent_elsewhere(dashboard: Served, wanted: str) -> None:
    """By the form, and by the page that has the form: `next` of the one becomes `next` of the other."""
    shown = dashboard.client.get("/login", params={"next": wanted}, headers=PAGE)
    assert shown.status_code == 200
    for address in Forms(shown.text).links:
        assert re.match(r"/(?![/\\])|#", address), address
    form = {"credential": dashboard.keys["operator"], "next": wanted}
    for credential in (dashboard.keys["operator"], "wrong"):
        answer = dashboard.client.post(
            "/session", data=form | {"credential": credential}, headers=OWN, follow_redirects=False
        )
        assert_goes_nowhere_else(answer)


@pytest.mark.parametrize(
    "path", ["//evil.example/x", "/%0d%0aX-Evil:1", "/\\evil.example", "/runs//evil", "/%2f%2fevil"]
)
def test_a_login_that_a_page_asks_for_leads_back_here(dashboard: Served, path: str) -> None:
    for asked in (path, f"/runs?next={path}", f"/assets/{path.strip('/')}"):
        answer = dashboard.client.get(f"{ORIGIN}{asked}", headers=PAGE, follow_redirects=False)
        assert answer.status_code in (303, 400, 404), (asked, answer.status_code)
        if answer.status_code == 303:
            assert_goes_nowhere_else(answer)


def assert_goes_nowhere_else(answer: Any) -> None:
    goal = answer.headers["location"]
    assert goal.startswith("/") and not goal.startswith(("//", "/\\")), goal
    assert goal.isascii() and goal.isprintable() and "\\" not in goal, goal
    assert "x-evil" not in answer.headers
    assert all(one.startswith("holdfast=") for one in answer.headers.get_list("set-cookie")), answer.headers


def test_no_value_that_comes_back_makes_a_header(dashboard: Served) -> None:
    """What is reflected: paths, names, queries, ids of requests, keys of idempotency, cursors, names of devices."""
    headers = dashboard.headers("owner")
    for method, template in routes(dashboard, "GET", "POST"):
        if template.endswith("/events"):
            continue
        parts = {part.strip("{}").partition(":")[0]: EVIL_IN_PATH for part in PARTS_HERE if ":str" in part}
        query = "?limit=1&cursor=x%0d%0aX-Evil:1&find=%0d%0aX-Evil:1&next=%0d%0aX-Evil:1&said=%0d%0aX-Evil:1"
        given = headers | PAGE | ({"Idempotency-Key": "evil"} if method == "POST" else {})
        path = path_of(template, **parts) + query
        assert_clean(dashboard.client.request(method, path, headers=given, follow_redirects=False), template)
    for name in ("X-Request-Id", "Last-Event-ID", "If-None-Match", "If-Match", "Accept", "X-Forwarded-For", "Referer"):
        answer = dashboard.client.get("/api/v1/sites", headers=headers | {name: "x\tX-Evil: 1"})
        assert_clean(answer, name)
        assert "X-Evil" not in answer.headers["x-request-id"]
    form = {"client_id": EVIL, "scope": EVIL}
    assert_clean(dashboard.client.post("/api/v1/device/code", data=form), "device")


def assert_clean(answer: Any, where: str) -> None:
    waits = answer.status_code == 503 and "no queue of work here" in answer.text  # this server has none
    assert answer.status_code < 500 or waits, (where, answer.status_code, answer.text[:300])
    assert "x-evil" not in answer.headers, (where, answer.headers)
    for name, value in answer.headers.items():
        assert value.isprintable() and value.isascii(), (where, name, value)
    if "html" in answer.headers.get("content-type", ""):
        assert "<script>" not in answer.text, where


def test_a_page_of_a_list_says_where_the_next_one_is_without_a_path_that_was_made_up(dashboard: Served) -> None:
    from holdfast.web.api.pages import next_page

    class Asked:
        scope: ClassVar = {"path": '/api/v1/assets/x>; rel="evil"\r\nX-Evil: 1'}

        class query_params:
            @staticmethod
            def multi_items() -> list[tuple[str, str]]:
                return [("limit", "1>\r\nX-Evil: 1")]

    link = next_page(Asked(), "c")  # type: ignore[arg-type]
    assert link.isprintable() and link.count(">") == 1 and link.count('"') == 2


def test_no_path_climbs_out(dashboard: Served) -> None:
    """Wherever a part of a path names a file, an id or an entry."""
    headers = dashboard.headers("owner")
    secret = (dashboard.folder / "holdfast.yaml").read_text()[:40]
    for _, template in routes(dashboard, "GET"):
        if "{" not in template or template.endswith("/events"):
            continue
        for climbing in CLIMBING[:8]:
            parts = {part.strip("{}").partition(":")[0]: climbing for part in PARTS_HERE}
            answer = dashboard.client.get(ORIGIN + path_of(template, **parts), headers=headers | PAGE)
            assert answer.status_code in (200, 400, 404, 405, 422), (
                template,
                climbing,
                answer.status_code,
                answer.text,
            )
            assert "root:" not in answer.text and secret not in answer.text, (template, climbing)
            if answer.status_code == 200:  # a page without the thing, or another page
                assert "text/html" in answer.headers["content-type"] or "json" in answer.headers["content-type"]
                assert "def " not in answer.text
    for name in STATIC:
        assert dashboard.client.get(f"/static/{name}").status_code == 200
    for climbing in CLIMBING:
        answer = dashboard.client.get(f"{ORIGIN}/static/{climbing}")
        assert answer.status_code in (400, 401, 404) or answer.url.path != f"/static/{climbing}", (climbing, answer)


def test_only_what_is_listed_needs_no_token(dashboard: Served) -> None:
    """Those that need none do nothing in the name of a session."""
    cookies = dashboard.login("owner")
    before = dashboard.app.state.kept.session(cookies["holdfast"])
    for path in WITHOUT_TOKEN:
        headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        answer = dashboard.client.post(path, data={"credential": "x"}, headers=headers, cookies=cookies)
        assert answer.status_code in (400, 403), (path, answer.status_code)
    assert dashboard.app.state.kept.session(cookies["holdfast"]) == before


def test_no_template_shows_what_would_turn_its_words_around() -> None:
    shown = environment().from_string("<p title='{{ one }}'>{{ one ~ two }}{{ three }}</p>")
    page = shown.render(one="a\u202eb", two="\x1b[1m\ud800\u2028\n", three=Markup("<b>é\u200d\u00a0</b>"))
    assert page == "<p title='a�b'>a�b�[1m��\n<b>é\u200d\u00a0</b></p>"
    page.encode()
