"""`holdfast.yaml`, the secrets that it refers to, the URLs of its stores, and YAML that is read into a type."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.cli.facts.configs import config_checked_facts, config_shown_facts
from holdfast.config.effective import effective
from holdfast.config.finding import LoadedConfig
from holdfast.config.parsing import check_config, parse_config
from holdfast.config.placing import place
from holdfast.config.references import resolve
from holdfast.config.words import Reference
from holdfast.errors import HoldfastError, UsageError
from holdfast.stores.urls import FOLDER, MEMORY, parse_store_url
from holdfast.strict_yaml import parse_strictly

__all__ = ["TARGETS"]

_FILE = """\
version: 1
organisation: acme
sites:
  a:
    cloud: aws
    region: r1
    jurisdiction: US
    stores: {hot: {url: file:///n, restore: 60s}, warm: {url: s3://bucket/p, lock: 30d, options: {region: r1}}}
    compute: {kind: slurm, partition: gpu, shape: H100x8}
    link: {up: 10Gbit/s, reserve: 2Gbit/s, price_per_gb: 0.02, dscp: AF11}
  b:
    cloud: gcp
    region: r2
    jurisdiction: EU
    stores: {warm: {url: gs://bb, lock: 1d, credentials: {token: "${K}"}, paths: [{link: x}, {}]}}
    links: {x: {timezone: UTC, limits: [{from: "8:00", to: "24:00", days: [mon], rate: 1MiB/s}]}}
  c: {cloud: azure, region: r3, jurisdiction: EU, stores: {cold: {url: az://ccc, restore: 0}}}
  d: {cloud: onprem, region: r4, jurisdiction: US, stores: {warm: {url: /d}, cold: {url: /d2}}}
  e: {cloud: aws, region: r5, jurisdiction: EU, stores: {warm: {url: s3://ee}, cold: {url: s3://ee2}}}
  f: {cloud: gcp, region: r6, jurisdiction: JP, stores: {warm: {url: gs://ff}, cold: {url: gs://ff2}}}
classes:
  training: {rpo: 2h, rto: 1d, copies: 2}
  mine: {like: regulated, rpo: 1d, rto: 1d, copies: 2, priority: 3, place: {not_in: CN}}
assets:
  run:
    class: training
    watch: /w
    save_every: 30min
    place: {synchronous: [a], asynchronous: [b]}
    service:
      command: [t, --n, "{machines}", "{target}"]
      folder: /opt/t
      shapes: H100x8
      machines: 4
      least: 2
      stop: {signal: TERM, within: 2min}
      health: {heartbeat: /w/h.json, fresh: 1min, times: 3, every: 10s, within: 30min}
      traffic: {file: /p/run.json}
    keep: {last: 5, within: 7d, tags: [x], components: {optimizer: {last: 3}}}
  w: {class: weights, home: b/warm, place: {synchronous: [a, b], quorum: 2}}
  s: {class: mine, path: /p, immutable: false, place: {stripes: 2+1, sites: [d, e, f]}
     , tiers: {cold: {after: 3d, unread: 1h}}}
groups: {g: {assets: [run, w]}}
recoveries: {r: {group: g, strategy: PILOT_LIGHT, to: b, steps: x.yaml}}
drills: {d: {recovery: r, level: functional, every: 7d, surprise_within: 2d}}
notify:
  channels:
    o: {kind: pagerduty, secret: "${K}"}
    m: {kind: email, server: "mail.example:587", user: dr, secret: "${K}", sender: dr@acme.example, to: d@acme.example}
    u: {kind: webhook, url: "https://ops.acme.example/h", secret: "${K}"}
  escalation: [{to: [o, u], severities: critical}, {to: m, after: 15m, contacts: head}]
  quiet: {from: "22:00", to: "07:00", timezone: UTC, severities: [warning, info]}
  contacts: {head: {role: head, reach: "+49 30 123456"}}
  deadlines: {d: {within: 4h, authority: somebody, basis: DORA, severities: critical, to: m}}
detect:
  quorum: 2
  probes:
    t: {kind: heartbeat, path: /w/h.json, older_than: 2m, fault_site: a}
    w: {kind: http, url: "https://t.example/health", fault_site: a}
    a: {kind: store, site: a}
work: {check: {every: 1d, at: "2:00"}, without: [drill.run], slots: 2}
serve: {vouches: [k], hosts: [h.example], targets: [/r]}
identity: {settings: authority.yaml}
webhooks:
  h: {url: "https://ops.acme.example/h", secret: ["${K}"], events: [run.*, "*.failed", incident.opened], trying: 1d}
"""
_YAML = (
    b"&a ",
    b"*a",
    b"!!python/object:",
    b"<<: ",
    b"[" * 14,
    b"- " * 14,
    b"\xff",
    b"\0",
    b"9" * 5000,
    b"${K}",
    b"%YAML ",
)
_YAML += (
    b'"\\UFFFFFFFF"',
    b'"\\ud800"',
    b"--- ",
    b"? ",
    b"\xc2\x85",
    b"stripes: 2+1",
    b"only_jurisdiction: ",
    b"not_in: US",
)
_YAML += (
    b"file:",
    b"s3://",
    b"quorum: 3",
    b"copies: 3",
    b"class: regulated",
    b"like: weights",
    b"home: c/hot",
    b"{}",
    b"[]",
)
_YAML += (
    b"rpo: 0",
    b"{from: 0:00, to: 24:00, rate: 1bit/s}",
    b"timezone: ../x",
    b"e\xcc\x81",
    b"null",
    b"~",
    b"1e999d",
    b"*.*",
    b"*a" * 40,
)


def _config(data: bytes) -> None:
    """Both doors agree, all that is told names a line, and what is accepted breaks no rule."""
    checked = check_config(data, "h.yaml")
    msgspec.json.encode(config_checked_facts("h.yaml", checked))
    lines = len(data.decode(errors="replace").splitlines()) + 1
    for problem in (*checked.problems, *checked.findings):
        if not 1 <= problem.line <= lines or not problem.message:
            raise Broken(f"{problem} is about no line of the file")
    try:
        parsed = parse_config(data, "h.yaml")
    except UsageError as error:
        if not checked.problems or not error.message.startswith(f"h.yaml, line {checked.problems[0].line}: "):
            raise Broken(f"{error.message!r} is not the first of {checked.problems[:3]}") from error
        raise
    if checked.problems:
        raise Broken(f"accepted, with {checked.problems[:3]}")
    msgspec.json.encode(config_shown_facts(LoadedConfig(parsed.config, Path("h.yaml"), parsed.lines), []))
    for name in parsed.config.assets:
        owed = effective(parsed.config, name)
        found = place(parsed.config, owed).placement
        if found is None:
            raise Broken(f"{name} was accepted, and lies nowhere")
        sites = [parsed.config.sites[one] for one in found.sites]
        if not all(owed.rules.allows(site.jurisdiction) for site in sites):
            raise Broken(f"{found} breaks {owed.rules}")
        needed = found.stripes.n if found.stripes is not None else owed.copies.value or 1
        if len({site.failure_domain for site in sites}) < needed:
            raise Broken(f"{found} are fewer than {needed} failure domains")


def _secret(data: bytes) -> None:
    path = world.scratch() / "secret"
    path.touch(0o600)
    path.write_bytes(data)
    try:
        text = resolve(Reference("file", "secret"), path.parent, {}).reveal()
    except HoldfastError as error:
        shown = f"{error.message} {error.hint} {error.__cause__!r}"
        if len(data) > 8 and data.isascii() and data.decode() in shown:
            raise Broken("an error shows the secret") from error
        raise
    if text.encode() != data.removesuffix(b"\n").removesuffix(b"\r"):
        raise Broken("the secret is another one")


def _url(data: bytes) -> None:
    url = data.decode(errors="surrogateescape")
    found = parse_store_url(url)
    if found.kind not in (FOLDER, MEMORY):
        again = f"{found.kind}://{found.place}" + (f"/{found.prefix}" if found.prefix else "")
        if parse_store_url(again) != found:
            raise Broken(f"{url!r} means {found}, which means another store")
        if set(f"{found.place}{found.prefix}") & set("@?#:"):
            raise Broken(f"{found} may hold a secret")


class _Inner(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    number: int = 0
    more: list[str] = []


class _Shape(msgspec.Struct, forbid_unknown_fields=True):
    inner: list[_Inner] = []
    by_name: dict[str, _Inner] = {}
    flag: bool = False
    none: str | None = None


def _typed(data: bytes) -> None:
    found = parse_strictly(data, _Shape, "x.yaml", "a hint")
    if parse_strictly(msgspec.json.encode(found), _Shape, "x.yaml") != found and data.isascii():
        raise Broken("what was read is written as something else")


TARGETS = [
    Target(
        "config-file",
        "`check_config`, `parse_config`, `effective`, `place`, `config_shown_facts`",
        _config,
        lambda: [
            _FILE.encode(),
            _FILE.replace("asynchronous: [b]", "asynchronous: [c]").replace("US", "EU").encode(),
            b"a: {b: ${K}}",
            _FILE.replace("s3://bucket/p", "s3://u:p@b")
            .replace("60s", "6 parsecs")
            .replace("[run, w]", "[ran]")
            .encode(),
        ],
        _YAML,
        weight=4,
    ),
    Target("config-secret", "`resolve`", _secret, lambda: [b"a-secret\n"], (b"\n", b"\r\n", b"\0", b"\xff", b" ")),
    Target(
        "store-url",
        "`parse_store_url`",
        _url,
        lambda: [b"s3://bucket/prefix", b"file:///a/b%20c", b"memory://x", b"/a/folder", b"az:c", b"gs://u:p@b?x#y"],
        (b"://", b"@", b":", b"/", b"//", b"..", b"%00", b"?", b"#", b"\0", b"file:", b"S3"),
    ),
    Target(
        "strict-yaml",
        "`parse_strictly`",
        _typed,
        lambda: [
            b"inner:\n- name: a\n  number: 3\n  more: [x, '1']\nby_name: {b: {name: c}}\nflag: true\nnone: null\n",
            b"inner:\n- name: a\n  nubmer: 3\n",
        ],
        _YAML,
    ),
]
