"""Machines of sites and services of assets: what is understood, and what is refused with its line."""

from __future__ import annotations

import pytest

from holdfast.config.parsing import check_config, parse_config
from holdfast.config.references import variables_of

FILE = """\
version: 1
organisation: acme
sites:
  use1:
    cloud: onprem
    region: use1
    jurisdiction: EU
    stores: {{warm: {{url: /data/use1}}}}
    compute: {compute}
assets:
  llama:
    class: development
    path: /data/llama
    service:
      command: {command}
      shapes: [small]
      {more}
"""


def text(
    compute: str = "{kind: local, shape: small, machines: 2}",
    command: str = '[run, "{target}", "{machine}"]',
    more: str = "machines: 1",
) -> bytes:
    return FILE.format(compute=compute, command=command, more=more).encode()


def said(data: bytes) -> list[str]:
    return [f"{one.line}: {one.message}" for one in check_config(data, "holdfast.yaml").problems]


def test_one_pool_need_not_be_a_list() -> None:
    config = parse_config(text(), "x").config
    [pool] = config.sites["use1"].compute
    assert (pool.kind, pool.shape, pool.machines, pool.ready) == ("local", "small", 2, 0)
    service = config.assets["llama"].service
    assert service is not None and service.stop.within == 60 and service.health.times == 3


@pytest.mark.parametrize(
    ("compute", "problem"),
    [
        ("{kind: kubernetes, shape: small}", "9: machines of the kind kubernetes are not built: docs/compute.md"),
        ("{kind: skypilot, shape: small}", "9: machines of the kind skypilot are not built: docs/compute.md"),
        ("{kind: lokal, shape: small, machines: 1}", "9: 'lokal' is no `kind`; did you mean `local`?"),
        ("{kind: local, shape: small}", "9: `machines` of the kind local are at least 1"),
        ("{kind: local, shape: small, machines: 1, ready: 2}", "9: 2 cannot stand `ready` of 1 `machines`"),
        ("{kind: local, shape: small, machines: 1, gres: g}", "9: `gres` is of the kind slurm, and this is local"),
        ("{kind: slurm, shape: small}", "9: machines of the kind slurm are of a `partition`"),
        ("{kind: slurm, shape: small, partition: p, nodes: 3}", "9: `compute` has no `nodes`"),
        (
            "[{kind: local, shape: small, machines: 1}, {kind: slurm, shape: small, partition: p}]",
            "9: `use1` has two pools of the shape small",
        ),
        ("{kind: local, shape: large, machines: 1}", "16: no site has machines of the shape small: they have large"),
    ],
)
def test_pools_that_cannot_be_are_refused(compute: str, problem: str) -> None:
    assert any(one.startswith(problem) for one in said(text(compute=compute))), said(text(compute=compute))


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("least: 2", "17: `least` is 2, and more than `machines`, 1"),
        ('health: {url: "http://x/", heartbeat: beat}', "17: health is looked at by one of"),
        ("health: {every: 0}", "17: `every` is more than no time at all"),
        ('health: {url: "ftp://x/"}', "17: this is no URL"),
        ("stop: {signal: KILL}", "17: 'KILL' is no `signal`"),
        ('stop: {command: [end, "{place}"]}', "17: {place} is not filled in; what is: {target}, {run}"),
        ("traffic: {file: /a, command: [x]}", "17: traffic is sent by one of"),
        ("traffic: {webhook: 'https://x/'}", "17: a `webhook` has a `secret`"),
        ("traffic: {webhook: 'https://x/', secret: abcdef}", "17: a secret is not written here, only where it is"),
        ("traffic: {file: /a, show: [x]}", "17: `show` belongs to a `command`"),
        ("standby: {euw4: /standby}", "17: no site is called `euw4`"),
    ],
)
def test_services_that_cannot_be_are_refused(more: str, problem: str) -> None:
    assert any(one.startswith(problem) for one in said(text(more=more))), said(text(more=more))


def test_a_service_has_data() -> None:
    data = text().replace(b"    path: /data/llama\n", b"")
    assert any("has a service, and neither `path` nor `watch`" in one for one in said(data))
    assert any("{machin} is not filled in" in one for one in said(text(command='["{machin}"]')))


def test_variables_that_hold_secrets_are_known() -> None:
    data = text(more="traffic: {webhook: 'https://x/', secret: \"${HOOK}\"}")
    assert variables_of(parse_config(data, "x").config) == {"HOOK"}
