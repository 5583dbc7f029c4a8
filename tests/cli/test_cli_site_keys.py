"""Keys that are split, removed or revoked at home, and what other sites know of it after `site sync`."""

from __future__ import annotations

import shutil

import pytest
from terminal import Terminal, write_checkpoint

_SITES = """\
version: 1
organisation: acme
sites:
  use1: {{cloud: aws, region: us-east-1, jurisdiction: US, stores: {{warm: {{url: {folder}/use1}}}}}}
  euw4: {{cloud: gcp, region: europe-west4, jurisdiction: EU, stores: {{warm: {{url: {folder}/euw4}}}}}}
  aps1: {{cloud: azure, region: japaneast, jurisdiction: JP, stores: {{warm: {{url: {folder}/aps1}}}}}}
assets:
  llama:
    class: training
    place: {place}
"""


def _declare(terminal: Terminal, place: str) -> None:
    (terminal.folder / "holdfast.yaml").write_text(_SITES.format(folder=terminal.folder, place=place))
    write_checkpoint(terminal.folder / "ckpt", 1)


def _open_by_shares(monkeypatch: pytest.MonkeyPatch, terminal: Terminal, files: list[str]) -> None:
    """On a machine that has no key, and never saw the vault."""
    for name in ("config", "state", "cache"):
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(terminal.folder / "elsewhere" / name))
    monkeypatch.setenv("HOLDFAST_KEY_SHARES", ":".join(files[:2]))


def test_a_split_key_opens_another_site_after_a_round(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    _declare(terminal, "{synchronous: [use1], asynchronous: [euw4]}")
    terminal.ok("vault", "create", str(terminal.folder / "use1"))
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    terminal.ok("site", "sync")
    use1 = str(terminal.folder / "use1")
    made = terminal.json(
        "key-split", "key", "split", "glass", "--shares", "3", "--threshold", "2", "--to", "shares", "--vault", use1
    )
    assert terminal.json("site-status", "site", "status")["outdated"] == ["euw4/warm"]
    planned = terminal.json("site-sync", "site", "sync", "--dry-run")
    assert (planned["settled"], [one["store"] for one in planned["configured"]]) == (False, ["euw4/warm"])
    assert "would bring the vault's configuration to euw4/warm" in terminal.ok("site", "sync", "--dry-run").out
    synced = terminal.json("site-sync", "site", "sync")
    assert (synced["settled"], synced["copied"]) == (True, [])
    assert synced["configured"] == [{"store": "euw4/warm", "source": "use1/warm", "generations": 1, "error": ""}]
    assert "nothing to copy" in terminal.ok("site", "sync").out
    shutil.rmtree(terminal.folder / "use1")
    _open_by_shares(monkeypatch, terminal, made["files"])
    terminal.ok("restore", "llama", "out", "--vault", str(terminal.folder / "euw4"))


def test_a_split_key_opens_stripes_at_a_site_that_was_away(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    _declare(terminal, "{stripes: 2+1, sites: [use1, euw4, aps1]}")
    terminal.ok("site", "create", "llama")
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    url = "stripes:" + ",".join(str(terminal.folder / site) for site in ("use1", "euw4", "aps1"))
    aps1, away = terminal.folder / "aps1", terminal.folder / "away"
    aps1.rename(away)
    aps1.write_text("a file where a folder should be")
    made = terminal.json(
        "key-split", "key", "split", "glass", "--shares", "3", "--threshold", "2", "--to", "shares", "--vault", url
    )
    aps1.unlink()
    away.rename(aps1)
    assert not list(aps1.glob("config/*2"))
    assert terminal.json("site-sync", "site", "sync")["settled"] is True
    shutil.rmtree(terminal.folder / "use1")
    _open_by_shares(monkeypatch, terminal, made["files"])
    terminal.ok("restore", "llama", "out", "--vault", url)


def test_a_site_that_is_declared_later_knows_who_was_revoked(terminal: Terminal) -> None:
    _declare(terminal, "{synchronous: [use1], asynchronous: [euw4]}")
    use1 = str(terminal.folder / "use1")
    terminal.ok("vault", "create", use1)
    terminal.ok("key", "export-writer", "gpu-1", "--to", "gpu.key", "--vault", use1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    terminal.ok("site", "sync")
    terminal.ok("key", "revoke", "gpu-1", "--vault", use1)
    _declare(terminal, "{synchronous: [use1], asynchronous: [euw4, aps1]}")
    terminal.ok("site", "sync")
    for site in ("euw4", "aps1"):
        said = terminal.json("vault-info", "vault", "info", str(terminal.folder / site))
        revoked = {one["label"]: one["revoked"] is not None for one in said["members"]}
        assert revoked == {"keeper": False, "gpu-1": True}, site
