"""Retention: policies that people write, plans that lie in files, and what pointers and roots make of a plan."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.cli.facts.retention import retention_applied_facts, retention_plan_facts
from holdfast.control.vaults.retaining import read_policy
from holdfast.errors import HoldfastError
from holdfast.ids import is_snapshot_id
from holdfast.objectives.retention import DROP, Hold, SnapshotFact, decide, remaining
from holdfast.objectives.retention_policy import parse_policy
from holdfast.objectives.retention_rules import Policy
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import normalised
from holdfast.vault.format.records import Ref, Root, decode_record, encode_record
from holdfast.vault.retaining.facts import gather_facts
from holdfast.vault.retaining.planning import RetentionPlan, decode_plan, digest_of, encode_plan
from holdfast.vault.snapshots.holds import held_by, hold_name
from holdfast.vault.snapshots.quarantine import fallback_of, marks_in
from holdfast.vault.snapshots.refs import VALIDATED
from holdfast.vault.vault import Vault

__all__ = ["TARGETS"]

_POLICY = """\
version: 1
recent: 0s
rules:
  - assets: ["*", arrays]
    keep: {last: 1, daily: 7, within: 2d}
    tags: protect
    components:
      optimizer: {last: all}
"""
_DAY = 86_400 * 10**9
_NOW = 20_000 * _DAY
_THREADS = 256 << 20
_WHY_THREADS = "a pool of threads: 8 MiB of stack for each, and the allocator's arenas"
_YAML = (b"&a ", b"*a", b"!!python/object:", b"<<: ", b"[" * 30, b"- " * 30, b"\xff", b"\0", b"all", b"9" * 400)
_YAML += (b"within: ", b"w", b"yearly: ", b"components:", b"tags: ignore", b"? ", b"--- ", b"%YAML 9.9\n", b"\xc2\x85")
_JSON = (b'"drop"', b'"thin"', b'"keep"', b'"all"', b'"ignore"', b"null", b"1e400", b"-1", b"9" * 20, b"[" * 2000)
_JSON += (b'"recent":"0s"', b'"components":{}', b'"\\ud800"', b"\xff")
_NUMBERS = (b"\xcf" + b"\xff" * 8, b"\xd3\x80" + bytes(7), b"\xd3" + b"\xff" * 8, b"\x00", b"\xc0", b"\x90")


def _facts() -> list[SnapshotFact]:
    return [
        SnapshotFact(
            id=f"s{number:02d}",
            asset="arrays" if number % 3 else "run",
            created=_NOW - number * _DAY,
            content=_NOW - number * _DAY,
            committed=_NOW - number * _DAY,
            verdict=("good", "warned", "good", "quarantined", "good")[number % 5],
            components={"weights": 10, "optimizer": 20},
            latest=number in (0, 1),
            validated=number in (0, 1),
            proven=number % 2 == 0,
            tags=["best"] if number == 7 else [],
            holds=[Hold(reason="audit")] if number == 8 else [],
        )
        for number in range(12)
    ]


def _policy(data: bytes) -> None:
    """What it decides is sound whatever it says: what is protected stays, and a second time nothing more goes."""
    path = world.scratch() / "policy.yaml"
    path.write_bytes(data)
    policy = read_policy(path)
    if msgspec.json.decode(msgspec.json.encode(policy), type=Policy) != policy:
        raise Broken(f"{policy} is another one in a plan")
    facts = _facts()
    decided = {one.snapshot: one for one in decide(facts, policy, _NOW)}
    for fact in facts:
        if decided[fact.id].action == DROP and (fact.latest or fact.validated or fact.holds):
            raise Broken(f"{fact} would be dropped")
    left = remaining(facts, decided)
    again = {one.snapshot: one for one in decide(left, policy, _NOW)}
    if remaining(left, again) != left:
        raise Broken("deciding anew about what is left lets more go")


@lru_cache
def _plan_seed() -> bytes:
    """Drops the older one of `arrays`, by the rules and the clock of any later day."""
    policy = parse_policy('version: 1\nrecent: 0s\nrules:\n  - assets: "*"\n    keep: {last: 1}\n')
    plan = world.vault(world.store(False), False).plan_retention(policy)
    assert [change.action for change in plan.changes] == [DROP]
    return encode_plan(plan)


def _applied(data: bytes) -> None:
    """A plan that was edited, and its digest made right: nothing goes but what its own policy lets go now."""
    plan = decode_plan(_redigested(data))
    vault = world.vault(world.store(False), False)
    before = gather_facts(vault.handle, lambda asset: True, vault.handle.clock.now_ns()).facts
    allowed = {one.snapshot for one in decide(before, plan.policy, vault.handle.clock.now_ns()) if one.action == DROP}
    done = vault.apply_retention(plan)
    there = {one.root.id for one in vault.snapshots() if one.root is not None}
    gone = {fact.id for fact in before} - there
    if not gone <= allowed:
        raise Broken(f"{gone - allowed} went, which the policy keeps")
    msgspec.json.encode(retention_applied_facts(plan, done))


def _redigested(data: bytes) -> bytes:
    try:
        plan = msgspec.json.decode(data, type=RetentionPlan)
        return encode_plan(msgspec.structs.replace(plan, digest=digest_of(plan.facts)))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return data


def _forgiving_plan(vault: Vault) -> None:
    try:
        plan = vault.plan_retention(parse_policy(_POLICY))
        msgspec.json.encode(retention_plan_facts(plan, None))
    except HoldfastError:
        return


def _pointer(data: bytes) -> None:
    """A ref under any name, of whoever may write: marks, holds, tags, and what retention makes of them."""
    ref = decode_record(data, Ref, "refs/x")
    store = world.store(False)
    vault = world.vault(store, False)
    key = f"{vault.handle.keys.names.ref_prefix(ref.asset, ref.name)}0000000009"
    store.put(key, world.resealed(Kind.REF, key, data))
    refs = vault.tags("arrays")
    marks = marks_in(refs)
    if vault.quarantined("arrays").keys() != marks.keys():
        raise Broken("two ways to look for marks do not agree")
    for target in sorted({one.target for one in refs.values()}):
        held_by(refs, target)
        if is_snapshot_id(target):
            fallback_of(vault.handle, "arrays", VALIDATED, target)
    _forgiving_plan(vault)


def _pointer_seeds() -> list[bytes]:
    target = next(one.root.id for one in _snapshots() if one.root is not None and one.root.asset == "arrays")
    asset = normalised("arrays")
    texts = [
        (f"!quarantine/{target}", "quarantined: it diverged"),
        (f"!quarantine/{target}", "demoted: restored 3 times"),
        (hold_name(target), "until 2033-01-01T00:00:00Z: the audit"),
        (hold_name(target), "until released: the audit"),
        ("!restored", "host:/data"),
        ("validated", "verified"),
    ]
    return [encode_record(Ref(asset, name, target, 1, reason)) for name, reason in texts]


def _snapshots():  # type: ignore[no-untyped-def]
    return world.vault(world.store(False), False).snapshots()


def _root_facts(data: bytes) -> None:
    """One more root, of whoever may write: what its statistics, times and names do to a plan."""
    root = decode_record(data, Root, "snapshots/x")
    if not is_snapshot_id(root.id):
        return
    store = world.store(False)
    key = world.keys(False).names.snapshot_key(root.asset, root.id)  # type: ignore[arg-type]  # just tested
    if any(info.key == key for info in store.list(key)):
        store.delete(key)
    store.put(key, world.resealed(Kind.ROOT, key, data))
    _forgiving_plan(world.vault(store, False))


TARGETS = [
    Target(
        "retention-policy",
        "`read_policy`, `parse_policy`, `decide`, `select`",
        _policy,
        lambda: [_POLICY.encode(), b'{version: 1, rules: [{assets: "*", keep: {last: 1}}]}'],
        _YAML,
    ),
    Target(
        "retention-apply",
        "`decode_plan`, `apply_retention`, behind the plan's own digest",
        _applied,
        lambda: [_plan_seed()],
        _JSON,
        _THREADS,
        _WHY_THREADS,
    ),
    Target(
        "pointers",
        "`decode_record(Ref)`, `hold_of`, `marks_in`, `marks_of`, `fallback_of`, `gather_facts`",
        _pointer,
        _pointer_seeds,
        (*_NUMBERS, b"until ", b"until 9999-12-31T23:59:59Z: ", b"0001-01-01", b"!hold/", b"!quarantine/", b": "),
        _THREADS,
        _WHY_THREADS,
    ),
    Target(
        "retention-facts",
        "`decode_record(Root)`, `gather_facts`, `estimate`, `retention_plan_facts`",
        _root_facts,
        lambda: world.bodies(Kind.ROOT),
        _NUMBERS,
        _THREADS,
        _WHY_THREADS,
    ),
]
