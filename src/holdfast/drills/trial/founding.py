"""A trial organisation from nothing (`--sandbox`): a vault, keys, and two snapshots that lie at all its sites."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.clock import from_rfc3339
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.stage import Source, Stage
from holdfast.drills.trial.digests import digest_tree
from holdfast.drills.trial.organisation import OPERATOR, Terms, Trial, TrialSite
from holdfast.drills.trial.writer import last_step, write_state
from holdfast.drills.troubles import DrillBroken
from holdfast.evidence.record_outcome import MomentKind

__all__ = [
    "SHARES",
    "SHARES_MADE",
    "SHARES_NEEDED",
    "Work",
    "admit",
    "found",
    "packs_at",
    "sandbox_terms",
    "save",
    "sync",
]

SHARES, SHARES_MADE, SHARES_NEEDED = "shares", 3, 2
_SIZE: Final = 131_072  # of each of the two files of a state


def sandbox_terms(
    sites: int = 3, *, rpo: float = 3600.0, rto: float = 300.0, save_every: float = 1800.0, approvers: int = 1
) -> Terms:
    """`north` is the home; the next comes to stand in for it."""
    places = ("north", "east", "south", "west")[:sites]
    return Terms(
        organisation="trial",
        asset="trial-run",
        recovery="trial-run-back",
        sites=tuple(TrialSite(name=name) for name in places),
        to=places[1:],
        rpo=rpo,
        rto=rto,
        save_every=save_every,
        approvers=approvers,
    )


def without_machines(terms: Terms) -> Terms:
    """A service that needs two machines, and one at each site."""
    one = {"kind": "local", "shape": "slot", "machines": 1}
    sites = tuple(msgspec.structs.replace(site, compute=[one]) for site in terms.sites)
    service = {"command": ["/bin/sleep", "60"], "shapes": ["slot"], "machines": 2}
    return msgspec.structs.replace(terms, sites=sites, asset_more={"service": service, "path": "work"})


def found(stage: Stage, scenario: Scenario, before: Callable[[], None] | None = None) -> None:
    """The vault at the home, key files, two states saved and brought to all sites. Raises DrillBroken.

    `before`: called before each is saved.
    """
    trial = stage.trial
    trial.prepare(OPERATOR, "vault", "create", trial.store(trial.terms.home))
    admit(stage, scenario)
    for step in (10, 20):
        state = write_state(trial.folder / "work", step, _SIZE)
        if before is not None:
            before()
        save(stage, state, step)
    sync(stage)
    stage.works = True
    stage.simulated.append("the work is a process that counts steps, and stands for a trainer")
    stage.mark(MomentKind.STARTED, f"a trial organisation of its own: {trial}")


def admit(stage: Stage, scenario: Scenario) -> None:
    """A keeper's key for each of the scenario's people, and shares: people are keys, and those of a drill are its own.

    Before anything is copied: what a keeper changes of members goes to other sites with the next copy.
    """
    trial = stage.trial
    home = trial.store(trial.terms.home)
    for person in scenario.people:
        if not trial.key(person).exists():
            trial.prepare(
                OPERATOR, "key", "export-keeper", f"drill-{person}", "--vault", home, "--to", trial.key(person)
            )
    if scenario.shares:
        words = ("--shares", str(SHARES_MADE), "--threshold", str(SHARES_NEEDED), "--to", trial.folder / SHARES)
        trial.prepare(OPERATOR, "key", "split", "drill-shares", "--vault", home, *words)


def save(stage: Stage, state: Path, step: int, person: str = OPERATOR) -> str:
    """A snapshot of what lies there, at the asset's home of now; its id. Raises DrillBroken."""
    trial, asset = stage.trial, stage.trial.terms.asset
    before = packs_at(trial)
    words = ("snapshot", "save", state, "--asset", asset, "--step", str(step))
    kept: dict[str, Any] = dict(trial.prepare(person, *words)["snapshot"])
    snapshot = str(kept["id"])
    stage.own_packs[snapshot] = sorted(packs_at(trial) - before)
    content = from_rfc3339(str(kept["content_time"]))
    stage.sources[snapshot] = Source(snapshot, digest_tree(state), content, step)
    stage.mark(MomentKind.SNAPSHOT, f"step {step} is saved: {snapshot[:12]}")
    return snapshot


def sync(stage: Stage, person: str = OPERATOR) -> None:
    """A round of copies to all sites; the newest is read back at each. Raises DrillBroken where not all arrived."""
    done = stage.trial.prepare(person, "site", "sync")
    if not done.get("settled"):
        raise DrillBroken(f"not all that is owed arrived: {', '.join(done.get('stuck', [])) or 'nobody says why'}")
    for one in done.get("copied", []):
        stage.mark(MomentKind.REPLICATED, f"copied to {one['target']}")


def packs_at(trial: Trial) -> set[str]:
    """The keys of the packs at all sites."""
    found: set[str] = set()
    for site in trial.terms.sites:
        folder = trial.store(site.name)
        found |= {str(path.relative_to(folder)) for path in folder.glob("packs/*/*") if path.is_file()}
    return found


class Work:
    """The writer, as a process of the drill."""

    def __init__(self, trial: Trial, first: int, *, every: int = 1000, pace: float = 0.05) -> None:
        """Raises DrillBroken where it does not beat."""
        self.folder = trial.folder / "work" / "running"
        self.folder.mkdir()
        words = [sys.executable, "-m", "holdfast.drills.trial.writer", str(self.folder), "--first", str(first)]
        words += ["--every", str(every), "--pace", str(pace)]
        with (trial.folder / "logs" / "writer.err").open("wb") as log:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=trial.environment(OPERATOR),
                start_new_session=True,
            )

    @property
    def step(self) -> int | None:
        """The last that it did."""
        return last_step(self.folder)

    def wait_for_beat(self, stage: Stage) -> None:
        def beats() -> bool:
            if self.process.poll() is not None:
                raise DrillBroken(f"the trial's work ended by itself ({self.process.returncode})")
            return self.step is not None

        stage.wait_until(beats, 60.0, "the trial's work does not begin")

    def kill(self) -> None:
        """SIGKILL. Nothing is said to it."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
