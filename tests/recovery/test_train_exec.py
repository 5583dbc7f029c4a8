"""`train-exec` when things go wrong: every kind of death, lost nodes, damage, loops, signals, hangs."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from holdfast.training.executing import events

from .executed import World
from .tiny_trainer import state_after, write_checkpoint


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _damage_packs(vault: Path, besides: set[Path]) -> None:
    """One bit of each pack that is not among those."""
    packs = [path for path in (vault / "packs").rglob("*") if path.is_file() and path not in besides]
    assert packs
    for path in packs:
        path.chmod(0o600)
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 1
        path.write_bytes(data)


def test_every_kind_of_death_is_named_and_the_run_ends_as_if_undisturbed(world: World) -> None:
    kinds = ("WORKLOAD_EXC", "SIGNAL_EXC", "OS_ABORT", "SEGFAULT", "SIGTERM", "GPU_ERROR", "TORN")
    faults = [f"--fault={kind}@{step}" for step, kind in zip(range(11, 80, 10), kinds, strict=True)]
    ran = world.run(["--requeue-on", "any"], world.command("--steps", "75", "--every", "10", *faults))
    assert ran.code == 0, ran.err
    named = [event.kind for event in ran.of(events.Ended)]
    assert named == [*kinds[:-1], "SIGKILL", "DONE"]  # the last was killed in the middle of writing a checkpoint
    assert world.starts() == [0, 10, 20, 30, 40, 50, 60, 70]
    [aside] = ran.of(events.MovedAside)
    assert aside.place == "step_71"
    assert (world.runs / aside.to / "model.safetensors").stat().st_size > 0
    assert (world.runs / "final").read_bytes() == state_after(75)
    assert ran.of(events.Finished)[-1].unsaved == []
    steps = {listed.root.step for listed in world.vault.snapshots("m") if listed.root is not None}
    assert steps == set(range(10, 80, 10))


def test_another_node_goes_on_from_the_vault_past_damage(world: World) -> None:
    assert world.run([], world.command("--steps", "10")).code == 0
    good = set((world.folder / "vault/packs").rglob("*"))
    ran = world.run([], world.command("--steps", "25", "--fault=SIGKILL@22"))
    assert ran.code == 128 + signal.SIGKILL
    assert ran.of(events.Ended)[0].kind == "SIGKILL"
    _damage_packs(world.folder / "vault", good)
    world.lose_node()
    ran = world.run([], world.command("--steps", "25"))
    assert ran.code == 0, ran.err
    [passed] = ran.of(events.PassedOver)
    assert passed.checkpoint.step == 20
    [resuming] = ran.of(events.Resuming)
    assert (resuming.checkpoint.step, resuming.restored) == (10, True)
    assert world.starts() == [10]
    assert (world.runs / "final").read_bytes() == state_after(25)


def test_where_nothing_that_was_saved_can_be_restored_the_command_does_not_run(world: World) -> None:
    assert world.run([], world.command("--steps", "10")).code == 0
    _damage_packs(world.folder / "vault", set())
    world.lose_node()
    ran = world.run([], world.command("--steps", "10"))
    assert ran.code == 4
    assert "none is good" in ran.err
    assert not (world.runs / "starts").exists()


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_a_loop_falls_back_once_and_is_given_up_with_evidence_on_any_node(world: World) -> None:
    assert world.run([], world.command("--steps", "20")).code == 0
    failing = world.command("--steps", "30", "--fault=WORKLOAD_EXC@11", "--fault=WORKLOAD_EXC@21", "--always")
    ran = world.run(["--requeue-on", "any", "--max-restarts", "1"], failing)
    assert (ran.code, world.starts()) == (1, [0, 20, 20])
    world.lose_node()  # what is known of attempts comes from the vault there
    ran = world.run(["--requeue-on", "any"], failing)
    assert ran.code == 5, ran.err
    assert world.starts() == [20, 10, 10, 10]
    fell = ran.of(events.Resuming)[1]
    assert fell.checkpoint.step == 10
    assert "fell back from step 20" in fell.reason
    [gave_up] = ran.of(events.GaveUp)
    assert "after falling back once" in gave_up.reason
    assert Path(gave_up.evidence).stat().st_size > 500
    assert "error: starting again leads nowhere" in ran.err
    ran = world.run([], world.command("--steps", "30"))
    assert ran.code == 5  # a fixed program does not help before somebody says so
    ran = world.run(["--anew"], world.command("--steps", "30"))
    assert ran.code == 0
    assert (world.runs / "final").read_bytes() == state_after(30)


def test_sigterm_saves_what_the_command_writes_last_and_keeps_its_exit_code(world: World) -> None:
    running = world.start(
        ["--grace", "60s"], world.command("--steps", "9999", "--every", "100", "--pace", "0.02", "--on-term", "save")
    )
    running.until(events.Saved)
    running.signal(signal.SIGTERM)
    ran = running.wait()
    assert ran.code == 0, ran.err
    [finished] = ran.of(events.Finished)
    assert finished.unsaved == []
    newest = max(int(path.name.removeprefix("step_")) for path in world.runs.glob("step_*"))
    assert finished.durable_step == newest
    assert [event.signal for event in ran.of(events.Signalled)] == ["SIGTERM"]
    estimates = ran.of(events.Estimated)
    assert estimates, "what can still be saved is told"
    assert all(estimate.seconds_left <= 60 for estimate in estimates)


def test_a_command_that_ignores_sigterm_is_killed_when_the_grace_is_over(world: World) -> None:
    running = world.start(["--grace", "2s"], world.command("--steps", "9999", "--pace", "0.02", "--on-term", "ignore"))
    running.until(events.Started)
    while not (world.runs / "starts").exists():
        time.sleep(0.02)
    running.signal(signal.SIGTERM)
    ran = running.wait()
    assert ran.code == 128 + signal.SIGKILL
    assert ran.of(events.Ended)[0].seconds > 1.0


def test_sigusr1_asks_for_a_checkpoint_and_may_end_the_run(world: World) -> None:
    trainer = world.command("--steps", "99999", "--every", "100000", "--pace", "0.02", "--on-usr1")
    running = world.start(["--after-notice", "stop", "--save-wait", "60s"], trainer)
    while not (world.runs / "starts").exists():
        time.sleep(0.02)
    running.signal(signal.SIGUSR1)
    ran = running.wait()
    assert ran.code == 128 + signal.SIGTERM
    assert "passed on as SIGUSR1 to 1 of its processes" in ran.of(events.Signalled)[0].action
    [saved] = ran.of(events.Saved)
    assert saved.checkpoint.step is not None
    assert ran.of(events.Finished)[0].durable_step == saved.checkpoint.step


def test_sigusr1_is_not_passed_on_to_who_would_die_of_it(world: World) -> None:
    gate = world.folder / "gate"
    running = world.start([], world.command("--steps", "10", "--wait-at", "5", "--gate", str(gate)))
    while not (world.runs / "starts").exists():
        time.sleep(0.02)
    running.signal(signal.SIGUSR1)
    running.until(events.Signalled)
    gate.touch()
    ran = running.wait()
    assert ran.code == 0, ran.err
    assert "no process of the command catches SIGUSR1" in ran.of(events.Signalled)[0].action


def test_a_hang_is_told_and_ended_and_started_again_when_asked(world: World) -> None:
    trainer = world.command("--steps", "20", "--fault=HANG@15")
    options = ["--hang-after", "1s", "--restart-hung", "--grace", "1s"]
    ran = world.run(options, trainer)
    assert ran.code == 0, ran.err
    assert ran.of(events.Silent)[0].kind == "HANG"
    assert [event.kind for event in ran.of(events.Ended)] == ["HANG", "DONE"]
    assert world.starts() == [0, 10]


def test_a_stopped_command_is_told(world: World) -> None:
    running = world.start([], world.command("--steps", "20", "--fault=SIGSTOP@15"))
    silent = running.until(events.Silent)
    assert silent.kind == "SIGSTOP"
    os.kill(running.until(events.Started).pid, signal.SIGCONT)
    assert running.wait().code == 0
    assert world.starts() == [0]


def test_what_leads_a_session_of_its_own_does_not_outlive_a_launcher_that_was_killed(world: World) -> None:
    """As the ranks of torchrun do: no signal to the command's group reaches them."""
    launcher = """
import os, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
if (folder / "rank").exists():
    sys.exit(0)
if os.fork() == 0:
    os.setsid()
    (folder / "rank").write_text(str(os.getpid()))
    time.sleep(600)
while not (folder / "rank").exists() or not (folder / "rank").read_text():
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ran = world.run(["--requeue-on", "SIGKILL"], [sys.executable, "-S", "-c", launcher, str(world.runs)])
    assert ran.code == 0, ran.err
    assert "left behind, and were ended: 1" in ran.err
    with pytest.raises(ProcessLookupError):
        os.kill(int((world.runs / "rank").read_text()), 0)


def test_two_at_once_in_one_folder_are_refused_even_after_the_first_supervisor_died(world: World) -> None:
    first = world.start([], world.command("--steps", "99999", "--pace", "0.05"))
    started = first.until(events.Started)
    try:
        second = world.run([], world.command("--steps", "10"))
        assert second.code == 6
        first.kill()
        third = world.run([], world.command("--steps", "10"))
        assert third.code == 6, "its command trains on"
    finally:
        first.kill()
        os.killpg(started.pid, signal.SIGKILL)


def test_what_lies_here_and_is_newer_wins_and_what_is_torn_does_not(world: World) -> None:
    assert world.run([], world.command("--steps", "10")).code == 0
    write_checkpoint(world.runs, 20, state_after(20))
    whole = (world.runs / "step_20/model.safetensors").read_bytes()
    (world.runs / "step_30").mkdir()
    (world.runs / "step_30/model.safetensors").write_bytes(whole[:100])
    ran = world.run([], world.command("--steps", "21"))
    assert world.starts() == [0, 20]
    assert "the newest in the vault, step 10, is older" in ran.of(events.Resuming)[0].reason
    assert [event.place for event in ran.of(events.MovedAside)] == ["step_30"]
