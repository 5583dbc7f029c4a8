"""A server over a small organisation: three sites in folders, one asset, a snapshot that was read back everywhere."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from litestar.testing import TestClient

from holdfast.cli.main import main
from holdfast.cli.serving import operations
from holdfast.control.service.context import open_service
from holdfast.web.app import Server, create_app
from holdfast.web.settings import ServerSettings

ROLES = ("trainer", "operator", "keeper", "auditor", "owner")
ORIGIN = "http://testserver.local"
CONFIG = """\
version: 1
organisation: acme
sites:
  a: {{cloud: onprem, region: a, jurisdiction: EU, stores: {{warm: {{url: "{here}/a"}}}}}}
  b: {{cloud: onprem, region: b, jurisdiction: EU, stores: {{warm: {{url: "{here}/b"}}}}}}
  c: {{cloud: onprem, region: c, jurisdiction: EU, stores: {{warm: {{url: "{here}/c"}}}}}}
assets:
  model: {{class: training, home: a, rpo: 1h, rto: 1h, place: {{synchronous: [a, b, c], quorum: 3}}}}
recoveries:
  elsewhere: {{asset: model, strategy: BACKUP_AND_RESTORE, to: [b, c]}}
drills:
  quarterly: {{recovery: elsewhere, every: 90d, level: functional}}
serve: {{vouches: [keeper], targets: ["{here}/back"]}}
"""


class Client(TestClient[Server]):
    """Keeps no cookies of its own: a test says which a request carries."""

    def request(self, method: str, url: Any, **more: Any) -> Any:
        cookies = more.pop("cookies", None)
        headers = dict(more.pop("headers", None) or {})
        if isinstance(cookies, dict):
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        answer = super().request(method, url, headers=headers, **more)
        self.cookies.clear()
        return answer


class Served(NamedTuple):
    """`keys`: role (or `limited`, `other`) → API key. `folder`: where holdfast.yaml lies."""

    app: Server
    client: Client
    keys: dict[str, str]
    folder: Path

    def headers(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[role]}"} if role in self.keys else {}

    def login(self, role: str, **more: str) -> dict[str, str]:
        """A session's cookie."""
        form = {"credential": self.keys[role], **more}
        answer = self.client.post("/session", data=form, headers={"Origin": ORIGIN}, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        return {"holdfast": answer.headers["set-cookie"].partition("holdfast=")[2].partition(";")[0]}


def holdfast(*arguments: str) -> str:
    """One command, in this process: what it printed."""
    out, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        code = main(arguments)
    assert code == 0, said.getvalue()
    return out.getvalue()


@contextlib.contextmanager
def at_home(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("STATE", "CACHE", "CONFIG"):
            patch.setenv(f"XDG_{name}_HOME", str(folder / name.lower()))
        patch.setenv("HOLDFAST_CONFIG", str(folder / "holdfast.yaml"))
        for name in ("HOLDFAST_SERVER", "HOLDFAST_TOKEN_FILE", "HOLDFAST_API_KEY_FILE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Made once; other modules' tests run in between, so that the environment is put back at once."""
    folder = tmp_path_factory.mktemp("served")
    with at_home(folder):
        (folder / "holdfast.yaml").write_text(CONFIG.format(here=folder))
        (folder / "weights.bin").write_bytes(os.urandom(50_000))
        holdfast("vault", "create", str(folder / "a"))
        for site in "bc":
            holdfast("replicate", str(folder / "a"), str(folder / site), "-q")
        holdfast("snapshot", "save", str(folder / "weights.bin"), "--asset", "model", "-q")
        for site in "bc":
            holdfast("snapshot", "verify", "model", "--vault", str(folder / site), "-q")
        holdfast("catalog", "rebuild", "-q")
        keys = {}
        for label, more in [(role, ["--role", role]) for role in ROLES] + [
            ("other", ["--role", "operator"]),
            ("limited", ["--role", "owner", "--scope", "site.list"]),
        ]:
            made = json.loads(holdfast("policy", "api-key", "create", label, *more, "--json"))
            keys[label] = made["key"]
    return folder, keys


@pytest.fixture(scope="module")
def organisation(founded: tuple[Path, dict[str, str]]) -> Iterator[tuple[Path, dict[str, str]]]:
    with at_home(founded[0]):
        yield founded


@pytest.fixture(scope="module")
def served(organisation: tuple[Path, dict[str, str]]) -> Iterator[Served]:
    folder, keys = organisation
    service = open_service(folder / "holdfast.yaml")
    app = create_app(service, ServerSettings(tries=1_000_000, requests=1e6, poll_s=0.1), operations(), routes=())
    with Client(app, base_url=ORIGIN) as client:
        yield Served(app, client, keys, folder)
    if service.workflows is not None:
        service.workflows.close()
    service.close()


@pytest.fixture(autouse=True)
def own_cache() -> None:
    """In place of the usual one: the server of a module remembers what it read back."""
