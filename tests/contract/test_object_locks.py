"""What object locks must do, against every adapter: memory, SeaweedFS, moto, doubles of Google's and Microsoft's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from typing import NamedTuple

import pytest

from holdfast.clock import SYSTEM_CLOCK
from holdfast.errors import FailedError, HoldfastError, ObjectNotFoundError, PermissionDeniedError, RefusedError
from holdfast.stores.local import LocalStore
from holdfast.stores.protocol import Store
from holdfast.stores.retention.gcs import GcsItem, GcsLocks, decode_answer
from holdfast.stores.retention.memory import VersionedMemoryStore
from holdfast.stores.retention.opening import locks_at, open_lockable
from holdfast.stores.retention.past import PastStore
from holdfast.stores.retention.port import Mode, ObjectLocks, Retention, locks_of, parse_period, retain_all
from holdfast.testing.azure_lock_double import AzureLockDouble
from holdfast.testing.gcs_lock_double import GcsLockDouble
from holdfast.testing.lockable_servers import ORDINARY_ENVIRONMENT, LockingSeaweed, MotoLockServer, s3_client
from holdfast.testing.servers import AzuriteServer

DAY_NS = 86_400 * 10**9


class Place(NamedTuple):
    """A store that locks. `destroy(key, version)`: what an attacker with its ordinary credential asks for."""

    name: str
    store: Store
    locks: ObjectLocks
    destroy: Callable[[str, str], object]
    keeps_live: bool = False  # GCS: what is locked can be neither overwritten nor deleted


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockingSeaweed]:
    with LockingSeaweed(tmp_path_factory.mktemp("seaweed") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoLockServer]:
    with MotoLockServer() as server:
        yield server


@pytest.fixture(
    params=[
        "memory",
        pytest.param("seaweed", marks=pytest.mark.servers),
        "moto",
        "gcs",
        "azure",
    ]
)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    name = request.param
    with ExitStack() as stack:
        if name == "memory":
            store = VersionedMemoryStore()
            yield Place(name, store, store, store.delete_version)
            return
        if name in ("seaweed", "moto"):
            server = request.getfixturevalue(name)
            for variable, value in ORDINARY_ENVIRONMENT.items():
                monkeypatch.setenv(variable, value)
            bucket = server.new_bucket()
            opened = open_lockable(f"s3://{bucket}/in/here", options=server.options)
            client = s3_client(server.endpoint, ORDINARY_ENVIRONMENT)

            def destroy(key: str, version: str) -> object:
                try:
                    return client.delete_object(Bucket=bucket, Key=f"in/here/{key}", VersionId=version)
                except client.exceptions.ClientError as error:
                    raise PermissionDeniedError(str(error)) from error

        elif name == "gcs":
            double = stack.enter_context(GcsLockDouble())
            stack.enter_context(double.in_environment())
            opened = open_lockable(f"{double.url}/in/here", options=double.options)
            gcs = locks_of(opened)

            def destroy(key: str, version: str) -> object:
                return gcs._requests.send("DELETE", gcs._object(key), {"generation": version}, what="destroy")  # type: ignore[union-attr]

        else:
            azure = stack.enter_context(AzureLockDouble())
            stack.enter_context(azure.in_environment())
            opened = open_lockable(f"{azure.url}/in/here", options=azure.options)
            blobs = locks_of(opened)

            def destroy(key: str, version: str) -> object:
                blob = blobs._blob(key)  # type: ignore[union-attr]
                return blobs._ask("destroy", lambda: blob.delete_blob(version_id=version))  # type: ignore[union-attr]

        locks = locks_of(opened)
        assert locks is not None
        yield Place(name, opened, locks, destroy, keeps_live=name == "gcs")


def later(place: Place, days: float = 1.0, mode: Mode = Mode.GOVERNANCE) -> Retention:
    return Retention(mode, place.locks.now_ns() + round(days * DAY_NS))


def test_a_bucket_says_that_it_locks(place: Place) -> None:
    assert place.locks.support().reason == ""
    assert abs(place.locks.now_ns() - SYSTEM_CLOCK.now_ns()) < 5 * 10**9


def test_a_lock_holds_until_its_time(place: Place) -> None:
    place.store.create("packs/aa/x", b"content")
    assert place.locks.retention_of("packs/aa/x") is None
    wanted = later(place)
    done = place.locks.retain("packs/aa/x", wanted)
    assert done.version
    found = place.locks.retention_of("packs/aa/x")
    assert found is not None
    assert found.mode is Mode.GOVERNANCE
    assert 0 <= found.until_ns - wanted.until_ns < 10**9  # rounded up to a second, never down
    assert done.retention == found
    with pytest.raises(PermissionDeniedError):
        place.destroy("packs/aa/x", done.version)
    assert place.locks.read_version("packs/aa/x", done.version) == b"content"


def test_what_is_not_locked_can_be_destroyed(place: Place) -> None:
    """The counterpart: it is the lock that keeps the version, not the credential."""
    place.store.create("packs/aa/x", b"content")
    version = next(place.locks.versions("packs/")).version
    place.destroy("packs/aa/x", version)
    assert not [one for one in place.locks.versions("packs/") if not one.is_marker]


def test_a_lock_is_extended_and_never_shortened(place: Place) -> None:
    place.store.create("a", b"1")
    place.locks.retain("a", later(place, 1))
    longer = place.locks.retain("a", later(place, 5))
    assert place.locks.retain("a", later(place, 2)).retention == longer.retention
    assert place.locks.retention_of("a") == longer.retention


def test_compliance_is_not_weakened(place: Place) -> None:
    place.store.create("a", b"1")
    strict = place.locks.retain("a", later(place, 2, Mode.COMPLIANCE))
    assert place.locks.retention_of("a") == strict.retention
    after = place.locks.retain("a", later(place, 4, Mode.GOVERNANCE)).retention
    assert after is not None
    assert after.mode is Mode.COMPLIANCE
    assert after.until_ns > strict.retention.until_ns  # type: ignore[union-attr]


def test_a_stricter_lock_does_not_end_earlier_than_the_one_before(place: Place) -> None:
    place.store.create("a", b"1")
    loose = place.locks.retain("a", later(place, 5, Mode.GOVERNANCE)).retention
    assert loose is not None
    if place.name == "seaweed":  # which lets no lock become stricter
        longer = later(place, 7, Mode.COMPLIANCE)
        with pytest.raises(PermissionDeniedError, match="stays locked in governance mode"):
            place.locks.retain("a", longer)
        found = place.locks.retention_of("a")
        assert found is not None
        assert found.until_ns >= longer.until_ns
        return
    place.locks.retain("a", later(place, 2, Mode.COMPLIANCE))
    assert place.locks.retention_of("a") == Retention(Mode.COMPLIANCE, loose.until_ns)


def test_versions_of_what_was_overwritten_and_deleted(place: Place) -> None:
    place.store.put("packs/aa/x", b"one")
    first = next(place.locks.versions("packs/"))
    assert (first.key, first.size, first.is_current, first.is_marker) == ("packs/aa/x", 3, True, False)
    place.store.put("packs/aa/x", b"garbage")
    place.store.put("other", b"!")
    contents = [one for one in place.locks.versions("packs/") if not one.is_marker]
    assert [(one.size, one.is_current) for one in contents] == [(7, True), (3, False)]
    assert place.locks.read_version("packs/aa/x", first.version) == b"one"
    assert place.locks.read_version("packs/aa/x", first.version, (1, 1)) == b"n"
    place.store.delete("packs/aa/x")
    stack = list(place.locks.versions("packs/"))
    assert stack[0].is_marker
    assert not any(one.is_current and not one.is_marker for one in stack)
    assert place.locks.read_version("packs/aa/x", first.version) == b"one"


def test_an_older_version_is_made_current_again(place: Place) -> None:
    place.store.put("packs/aa/x", b"one")
    first = next(place.locks.versions("packs/"))
    place.store.put("packs/aa/x", b"garbage")
    place.store.delete("packs/aa/x")
    with pytest.raises(ObjectNotFoundError):
        place.store.get("packs/aa/x")
    place.locks.restore_version(first)
    assert place.store.get("packs/aa/x") == b"one"
    assert next(place.locks.versions("packs/")).is_current


def test_a_locked_object_survives_being_overwritten_and_deleted(place: Place) -> None:
    place.store.create("packs/aa/x", b"content")
    version = place.locks.retain("packs/aa/x", later(place)).version
    for attack in (lambda: place.store.put("packs/aa/x", b"garbage"), lambda: place.store.delete("packs/aa/x")):
        if place.keeps_live:
            with pytest.raises(PermissionDeniedError):
                attack()
        else:
            attack()
    assert place.locks.read_version("packs/aa/x", version) == b"content"
    with pytest.raises(PermissionDeniedError):
        place.destroy("packs/aa/x", version)


def test_a_name_is_free_again_only_when_nothing_is_current(place: Place) -> None:
    """Conditional creation goes on working in a bucket with versions."""
    place.store.create("config/0000000001", b"1")
    with pytest.raises(HoldfastError):
        place.store.create("config/0000000001", b"2")
    place.store.delete("config/0000000001")
    place.store.create("config/0000000001", b"3")
    assert place.store.get("config/0000000001") == b"3"


def test_a_legal_hold_keeps_a_version(place: Place) -> None:
    place.store.create("a", b"1")
    version = next(place.locks.versions("a")).version
    place.locks.legal_hold("a", True, version)
    with pytest.raises(PermissionDeniedError):
        place.destroy("a", version)
    place.locks.legal_hold("a", False, version)
    place.destroy("a", version)


def test_nothing_is_locked_that_is_not_there(place: Place) -> None:
    with pytest.raises(ObjectNotFoundError):
        place.locks.retain("nothing", later(place))
    with pytest.raises(ObjectNotFoundError):
        place.locks.read_version("nothing", "0" * 32 if place.name != "gcs" else "17")
    answers = retain_all(place.locks, ["nothing"], later(place))
    assert isinstance(answers[0].error, ObjectNotFoundError)


def test_the_past_is_read_as_a_store(place: Place) -> None:
    place.store.put("packs/aa/x", b"content")
    place.store.put("snapshots/a/b", b"root")
    SYSTEM_CLOCK.sleep(1.1)  # services tell times to a second
    before = place.locks.now_ns()
    SYSTEM_CLOCK.sleep(1.1)
    place.store.put("packs/aa/x", b"garbage")
    place.store.delete("snapshots/a/b")
    place.store.put("added/since", b"!")
    past = PastStore(place.store, place.locks, before)
    assert [info.key for info in past.list("")] == ["packs/aa/x", "snapshots/a/b"]
    assert [info.key for info in past.list("", "packs/aa/x")] == ["snapshots/a/b"]
    assert past.folders("") == ["packs/", "snapshots/"]
    assert past.get("packs/aa/x") == b"content"
    assert past.get_ranges("packs/aa/x", [(0, 3), (3, 0), (4, 3)]) == [b"con", b"", b"ent"]
    assert past.head("snapshots/a/b").size == 4
    with pytest.raises(ObjectNotFoundError):
        past.get("added/since")
    with pytest.raises(RefusedError):
        past.put("packs/aa/x", b"")


@pytest.mark.servers
@pytest.mark.parametrize("which", ["seaweed", "moto"])
def test_a_bucket_without_locks_says_so(
    which: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = request.getfixturevalue(which)
    for variable, value in ORDINARY_ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    store = open_lockable(f"s3://{server.new_bucket(locking=False)}", options=server.options)
    locks = locks_of(store)
    assert locks is not None
    assert "has no Object Lock" in locks.support().reason
    store.put("a", b"1")
    with pytest.raises(FailedError, match="has no Object Lock"):  # SeaweedFS itself would take it, and not keep it
        locks.retain("a", Retention(Mode.GOVERNANCE, locks.now_ns() + DAY_NS))


def test_doubles_without_locks_say_so() -> None:
    with GcsLockDouble(locking=False) as gcs, gcs.in_environment():
        assert "object retention" in locks_at(gcs.url, gcs.options).support().reason
    with AzureLockDouble(locking=False) as azure, azure.in_environment():
        assert "immutability" in locks_at(azure.url, azure.options).support().reason


@pytest.mark.servers
def test_azurite_cannot_lock_and_says_so(tmp_path: os.PathLike[str]) -> None:
    from pathlib import Path

    with AzuriteServer(Path(tmp_path) / "azurite") as server, server.in_environment():
        store = open_lockable(server.url, options=server.options)
        locks = locks_of(store)
        assert locks is not None
        assert "no version-level immutability" in locks.support().reason
        store.put("a", b"1")
        with pytest.raises(FailedError):
            locks.retain("a", Retention(Mode.GOVERNANCE, locks.now_ns() + DAY_NS))


@pytest.mark.parametrize("may_override", [False, True])
def test_a_gcs_lock_is_shortened_by_nobody_without_the_permission(may_override: bool) -> None:
    with GcsLockDouble(may_override=may_override) as double, double.in_environment():
        store = open_lockable(double.url, options=double.options)
        store.put("a", b"1")
        locks = GcsLocks(double.bucket, "", double.options)
        locks.retain("a", Retention(Mode.GOVERNANCE, locks.now_ns() + DAY_NS))
        query = {"overrideUnlockedRetention": "true"}
        with nullcontext() if may_override else pytest.raises(PermissionDeniedError):
            locks._requests.send("PATCH", locks._object("a"), query, {"retention": None}, what="end the lock early")
            store.delete("a")


def test_a_folder_cannot_lock(tmp_path: os.PathLike[str]) -> None:
    assert locks_of(LocalStore(tmp_path)) is None
    with pytest.raises(RefusedError, match="cannot lock objects"):
        locks_at(str(tmp_path))


@pytest.mark.parametrize("text", ["", "30", "30d:", "30d:strict", "0s", "200000d", "-3d"])
def test_periods_that_make_no_sense(text: str) -> None:
    with pytest.raises(HoldfastError):
        parse_period(text)


def test_periods() -> None:
    assert parse_period("30d") == (30 * 86_400, Mode.GOVERNANCE)
    assert parse_period("12h:compliance") == (43_200, Mode.COMPLIANCE)


def test_a_lock_that_somebody_set_for_ages_does_not_become_irrevocable(place: Place) -> None:
    """An attacker locks in governance mode until the year 9999; the vault's own locks are of compliance."""
    place.store.create("packs/aa/x", b"content")
    ages = Retention(Mode.GOVERNANCE, 253_402_300_799 * 10**9 + 999_000_000)
    place.locks.retain("packs/aa/x", ages)
    with pytest.raises(PermissionDeniedError, match="would become irrevocable"):
        place.locks.retain("packs/aa/x", later(place, 7, Mode.COMPLIANCE))
    found = place.locks.retention_of("packs/aa/x")
    assert found is not None
    assert found.mode is Mode.GOVERNANCE
    assert place.locks.retain("packs/aa/x", later(place, 7)).retention == found


def test_what_a_bucket_of_google_keeps_by_its_own_policy_counts() -> None:
    item = decode_answer(b'{"name": "a", "retentionExpirationTime": "2030-01-01T00:00:00Z"}', GcsItem, "look")
    policy = Retention(Mode.GOVERNANCE, 1_893_456_000 * 10**9)
    assert (item.lock(), item.kept()) == (None, policy)
    text = b'"retention": {"mode": "Locked", "retainUntilTime": "%s-01-01T00:00:00Z"}'
    for year, mode in ((b"2029", Mode.GOVERNANCE), (b"2031", Mode.COMPLIANCE)):
        both = b'{"name": "a", "retentionExpirationTime": "2030-01-01T00:00:00Z", ' + text % year + b"}"
        found = decode_answer(both, GcsItem, "look").kept()
        assert found is not None
        assert (found.mode, found.until_ns >= policy.until_ns) == (mode, True)
