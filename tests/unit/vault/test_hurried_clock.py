"""Leases on a clock that runs faster are as much shorter: renewed after a quarter, given up after three."""

from __future__ import annotations

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import ConflictError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.hurried_clock import HurriedClock, with_leases_of
from holdfast.testing.workspace import new_trial_vault
from holdfast.vault.collecting.leases import HeldLease, seen_leases
from holdfast.vault.collecting.safety import LEASE_S
from holdfast.vault.handle import Handle

LASTS = 20.0


def opened(clock: ManualClock) -> Handle:
    trial = new_trial_vault(MemoryStore(clock), encrypted=False, clock=clock)
    handle = trial.open().handle
    handle.clock = HurriedClock(LEASE_S / LASTS, clock)
    return handle


def test_it_is_renewed_after_a_quarter_and_not_before() -> None:
    clock = ManualClock()
    handle = opened(clock)
    with HeldLease(handle, "saving") as lease:
        for pause, generations in ((LASTS / 4 - 0.1, 1), (0.2, 2), (LASTS / 4 - 0.1, 2), (0.2, 3)):
            clock.sleep(pause)
            lease.keep()
            [seen] = seen_leases(handle)
            assert len(seen.keys) == generations


def test_after_three_quarters_nothing_is_committed() -> None:
    clock = ManualClock()
    handle = opened(clock)
    with HeldLease(handle, "saving") as lease:
        clock.sleep(LASTS * 3 / 4 - 0.1)
        lease.require()
        clock.sleep(0.2)
        with pytest.raises(ConflictError):
            lease.require()
        with pytest.raises(ConflictError):
            lease.keep()


def test_wall_time_is_the_same_and_sleeping_is_shorter() -> None:
    clock = ManualClock()
    hurried = HurriedClock(10, clock)
    began, wall = hurried.monotonic(), hurried.now_ns()
    hurried.sleep(50)
    assert hurried.monotonic() - began == pytest.approx(50)
    assert hurried.now_ns() == clock.now_ns() == wall + 5 * 10**9
    assert with_leases_of(1.0).monotonic() > 0
