"""The plot, scene by scene. What is measured is noted as it happens; nothing is known in advance to the recovery."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from holdfast.clock import SYSTEM_CLOCK, from_rfc3339
from holdfast.drills.story.facts import Facts, Point
from holdfast.drills.story.observing import Arrivals, SiteProbe, wait_until
from holdfast.drills.story.processes import OwnProcess, start_trainer, start_watch
from holdfast.drills.story.report import make_record
from holdfast.drills.story.sites import ASSET, DemoSite, Stage, signing_key
from holdfast.drills.trainer.checkpoint_files import MARKER, TrainerState, checkpoint_path, final_digest
from holdfast.drills.trainer.heartbeat import HEARTBEAT_NAME, read_heartbeat
from holdfast.errors import FailedError, HoldfastError, NotFoundError
from holdfast.evidence.bundle import EvidenceFiles, write_evidence
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import Moment, MomentKind
from holdfast.evidence.recorder import Recorder
from holdfast.objectives import AssetClass, Objective, Placement
from holdfast.testing.workspace import own_memory
from holdfast.trust.credentials import Credential, load_credential
from holdfast.units import format_duration
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.finding import list_roots
from holdfast.vault.vault import Vault

__all__ = ["DemoSettings", "DemoResult", "run_demo"]


class DemoSettings(NamedTuple):
    """What the demo plays with. The site is lost at the first checkpoint from `fault_step` on that can be caught in
    mid-write.
    """

    steps: int = 160
    every: int = 20
    seed: int = 7
    pace_seconds: float = 0.05
    fault_step: int = 100
    rpo_seconds: float = 30.0
    rto_seconds: float = 30.0
    patience_seconds: float = 120.0

    def objective(self) -> Objective:
        return Objective(
            asset_class=AssetClass.TRAINING,
            rpo_seconds=self.rpo_seconds,
            rto_seconds=self.rto_seconds,
            copies=2,
            placement=Placement.SITES,
        )


DEFAULTS = DemoSettings()


class DemoResult(NamedTuple):
    """The record, and where its files lie."""

    record: Evidence
    files: EvidenceFiles


def run_demo(
    folder: Path,
    settings: DemoSettings = DEFAULTS,
    *,
    keep: bool = False,
    overwrite: bool = False,
    say: Callable[[float, str], None] = lambda offset, text: None,
) -> DemoResult:
    """Play the whole story below `folder`, and write the evidence there.

    `say` is given each moment: seconds since the start, and a sentence. With `keep` the sites stay. Raises RefusedError
    when the folder is taken, FailedError when the demo itself breaks. A missed objective is in the record.
    """
    stage = Stage(folder, overwrite=overwrite)
    plot = _Plot(stage, settings, say)
    with own_memory(stage.recoverer):  # who recovers knows nothing of what the lost site's machine remembered
        return plot.play(keep)


class _Plot:
    def __init__(self, stage: Stage, settings: DemoSettings, say: Callable[[float, str], None]) -> None:
        self._stage = stage
        self._settings = settings
        self._say = say
        self._begun = SYSTEM_CLOCK.monotonic()
        self._recorder = Recorder(SYSTEM_CLOCK)  # begins anew when training on site A does
        self._environment = stage.environment(os.environ)
        self._processes: list[OwnProcess] = []

    def play(self, keep: bool) -> DemoResult:
        try:
            facts = self._scenes()
        finally:
            for process in self._processes:
                process.kill()
        if keep:
            facts.left = [str(self._stage.folder / "sites"), str(self._stage.reference)]
        else:
            facts.removed = self._stage.remove_sites()
        self._mark(MomentKind.CLEANED, "processes ended" + ("" if keep else ", sites removed"))
        record = make_record(facts, self._recorder, self._settings.objective())
        files = write_evidence(record, self._stage.evidence, facts.signer)
        return DemoResult(record, files)

    def _scenes(self) -> Facts:
        stage = self._stage
        self._tell("first an undisturbed run, to compare with")
        losses = self._train_undisturbed()
        keeper = stage.create_vault()
        self._recorder = Recorder(SYSTEM_CLOCK)
        arrivals = Arrivals(stage.sites, stage.open_vault(stage.a, keeper), self._recorder.offset)
        trainer = self._trainer("trainer-a", stage.a)
        watch = self._watch("watch-a", stage.a, [stage.b, stage.c])
        self._mark(MomentKind.STARTED, "training starts on site A; `holdfast watch` protects it", stage.a)
        probe = SiteProbe(stage.a, stale_seconds=1.0)
        caught = self._wait_for_mid_save(arrivals, trainer, watch)
        facts = self._lose_site_a(caught, trainer, watch, arrivals, keeper)
        self._detect(probe)
        site, root, vault = self._decide(facts, keeper)
        resumed = self._execute(facts, site, root, vault)
        self._verify(facts, site, root, vault, losses)
        self._train_to_the_end(facts, resumed, site)
        arrivals.stop()
        self._prove(facts, site, root, keeper)
        return facts

    # Scene 1: what would have happened without the disaster.
    def _train_undisturbed(self) -> dict[int, float]:
        settings, folder = self._settings, self._stage.reference
        process = self._start(
            start_trainer(
                "the undisturbed run",
                folder,
                steps=settings.steps,
                every=settings.every,
                seed=settings.seed,
                pace_seconds=0.0,
                log=self._stage.logs / "undisturbed",
                environment=self._environment,
            )
        )
        self._await_exit(process)
        self._tell(f"{settings.steps} steps done; nobody but the proof at the end will look at them")
        return _losses(self._stage.logs / "undisturbed.out")

    # Scene 2: training and protecting, until a checkpoint is half written.
    def _wait_for_mid_save(self, arrivals: Arrivals, trainer: OwnProcess, watch: OwnProcess) -> int:
        """The step whose checkpoint is being written right now."""
        settings, stage = self._settings, self._stage
        end = time.monotonic() + settings.patience_seconds
        steps = range(settings.every, settings.steps, settings.every)
        complete: set[int] = set()
        while time.monotonic() < end:
            trainer.check()
            watch.check()
            self._tell_news(arrivals)
            for step in steps:
                folder = checkpoint_path(stage.a.work, step)
                if step in complete or not folder.is_dir():
                    continue
                if (folder / MARKER).exists():
                    complete.add(step)
                    self._mark(MomentKind.CHECKPOINT, f"the checkpoint of step {step} is complete", stage.a)
                elif step >= settings.fault_step and self._copies_reached(arrivals, last=step == steps[-1]):
                    return step
            if not trainer.running:
                break
            time.sleep(0.001)
        raise FailedError(
            "no checkpoint could be caught in mid-write after two snapshots had reached sites B and C",
            hint=f"see the logs in {stage.logs}",
        )

    def _copies_reached(self, arrivals: Arrivals, *, last: bool) -> bool:
        """Two snapshots at both sites, and none under way to one of them alone: that one would count one copy.

        On a slow machine something is always under way: the last chance is taken as it is.
        """
        at_b, at_c = arrivals.at("B"), arrivals.at("C")
        return len(at_b & at_c) >= 2 and (last or at_b == at_c)

    # Scene 3: the fault.
    def _lose_site_a(
        self, caught: int, trainer: OwnProcess, watch: OwnProcess, arrivals: Arrivals, keeper: Credential
    ) -> Facts:
        stage = self._stage
        half_written = sum(path.stat().st_size for path in checkpoint_path(stage.a.work, caught).iterdir())
        trainer.kill()
        watch.kill()
        moment = self._mark(
            MomentKind.FAULT, f"SIGKILL in the midst of writing step {caught}, and site A is wiped", stage.a
        )
        last = read_heartbeat(stage.a.work / HEARTBEAT_NAME)
        unfinished = not (checkpoint_path(stage.a.work, caught) / MARKER).exists()
        shutil.rmtree(stage.a.folder)
        self._tell_news(arrivals)
        return Facts(
            stage=stage,
            signer=signing_key(keeper),
            fault_ns=from_rfc3339(moment.utc),
            fault_step=last.step,
            caught_step=caught,
            caught_unfinished=unfinished,
            half_written_bytes=half_written,
            shipped={site.name: site.stored_bytes() for site in (stage.b, stage.c)},
            seen=dict(arrivals.seen),
            roots=dict(arrivals.roots),
        )

    # Scene 4: somebody notices.
    def _detect(self, probe: SiteProbe) -> None:
        if not probe.lost.wait(self._settings.patience_seconds):
            raise FailedError("the probe did not notice the loss of site A")
        probe.stop()
        self._mark(MomentKind.DETECTED, f"site A is given up: {probe.reason}", self._stage.a)

    # Scene 5: what do the others hold?
    def _decide(self, facts: Facts, keeper: Credential) -> tuple[DemoSite, Root, Vault]:
        found: list[tuple[int, DemoSite, Root, Vault]] = []
        for site in (self._stage.b, self._stage.c):
            vault = self._stage.open_vault(site, keeper)
            try:
                root = vault.find(f"{ASSET}@validated")
            except HoldfastError as error:
                facts.rejected[site.name] = error.message
                continue
            found.append((root.content, site, root, vault))
            for listed in list_roots(vault.handle, ASSET):
                if listed.root is not None:
                    facts.held.setdefault(listed.root.id, set()).add(site.name)
                    facts.roots.setdefault(listed.root.id, listed.root)
        if not found:
            raise NotFoundError("no surviving site holds a validated snapshot")
        content, site, root, vault = max(found, key=lambda one: (one[0], one[1].name == "B"))
        facts.point = Point(site.name, root)
        age = format_duration(max((facts.fault_ns - content) / 1e9, 0.0))
        self._mark(
            MomentKind.DECIDED,
            f"site {site.name} holds step {root.step}, validated, from {age} before the fault",
            site,
        )
        return site, root, vault

    # Scene 6: recovery.
    def _execute(self, facts: Facts, site: DemoSite, root: Root, vault: Vault) -> OwnProcess:
        folder = checkpoint_path(site.work, root.step or 0)
        restored = vault.restore(root.id, folder)
        self._mark(MomentKind.STEP, f"{restored.files} files restored on site {site.name}, every chunk checked", site)
        process = self._start(
            start_trainer(
                "trainer-b",
                site.work,
                steps=self._settings.steps,
                every=self._settings.every,
                seed=self._settings.seed,
                pace_seconds=self._settings.pace_seconds,
                log=self._stage.logs / "trainer-b",
                environment=self._environment,
                resume=folder,
            )
        )
        self._wait_for_step(process, site, (root.step or 0) + 1)
        self._mark(MomentKind.EXECUTED, f"training runs again on site {site.name}, from step {root.step}", site)
        return process

    # Scene 7: is it the right thing that runs?
    def _verify(self, facts: Facts, site: DemoSite, root: Root, vault: Vault, losses: dict[int, float]) -> None:
        step = root.step or 0
        restored = checkpoint_path(site.work, step)
        state = msgspec.json.decode((restored / MARKER).read_bytes(), type=TrainerState)
        facts.tokens_per_step = state.tokens // state.step
        facts.restored_digest = final_digest(restored)
        facts.reference_digest = final_digest(checkpoint_path(self._stage.reference, step))
        resumed = _losses(self._stage.logs / "trainer-b.out")
        compared = sorted(resumed.keys() & losses.keys())
        facts.compared_losses = [(number, losses[number], resumed[number]) for number in compared]
        facts.verified_chunks = vault.verify(root.id).verified
        good = facts.restored_digest == facts.reference_digest and all(a == b for _, a, b in facts.compared_losses)
        if not good or not facts.compared_losses:
            raise FailedError("what runs on the recovery site is not what ran before", hint="see the logs")
        self._mark(
            MomentKind.VERIFIED,
            f"the state is bit-identical to step {step}, and step {compared[-1]} has the same loss",
            site,
            result=facts.restored_digest,
        )

    # Scene 8: protected again, to the end.
    def _train_to_the_end(self, facts: Facts, trainer: OwnProcess, site: DemoSite) -> None:
        others = [other for other in (self._stage.b, self._stage.c) if other is not site]
        watch = self._watch("watch-b", site, others)
        self._await_exit(trainer)
        last = self._settings.steps
        self._mark(MomentKind.FINISHED, f"training reached step {last} on site {site.name}", site)
        facts.final_digest = final_digest(checkpoint_path(site.work, last))
        facts.final_reference = final_digest(checkpoint_path(self._stage.reference, last))
        protected = wait_until(lambda: self._final_protected(site, others, last), self._settings.patience_seconds)
        watch.check()
        watch.stop()
        if not protected:
            raise FailedError("the last checkpoint was not protected again", hint="see the logs")
        names = " and ".join(s.name for s in (site, *others))
        self._mark(MomentKind.SNAPSHOT, f"step {last} is protected again, on sites {names}", site)

    def _final_protected(self, site: DemoSite, others: list[DemoSite], step: int) -> bool:
        time.sleep(0.1)
        keeper = load_credential(self._stage.key_file)
        for place in (site, *others):
            try:
                if self._stage.open_vault(place, keeper).find(f"{ASSET}@validated").step != step:
                    return False
            except HoldfastError:
                return False
        return True

    # Scene 9: the accounts.
    def _prove(self, facts: Facts, site: DemoSite, root: Root, keeper: Credential) -> None:
        for place in (self._stage.b, self._stage.c):
            if place.name not in facts.held.get(root.id, set()):
                continue
            vault = self._stage.open_vault(place, keeper)
            facts.copies_verified[place.name] = vault.verify(root.id).verified
        facts.count(self._stage.open_vault(site, keeper), site)
        same = facts.final_digest == facts.final_reference
        self._mark(
            MomentKind.CHECK,
            "the final weights and moments are bit-identical to the undisturbed run"
            if same
            else "the final weights DIFFER from the undisturbed run",
            site,
            result=facts.final_digest,
        )

    def _trainer(self, name: str, site: DemoSite) -> OwnProcess:
        settings = self._settings
        return self._start(
            start_trainer(
                name,
                site.work,
                steps=settings.steps,
                every=settings.every,
                seed=settings.seed,
                pace_seconds=settings.pace_seconds,
                log=self._stage.logs / name,
                environment=self._environment,
            )
        )

    def _watch(self, name: str, site: DemoSite, replicas: list[DemoSite]) -> OwnProcess:
        log = self._stage.logs / name
        targets = [replica.vault_folder for replica in replicas]
        return self._start(
            start_watch(name, site.work, site.vault_folder, ASSET, targets, log=log, environment=self._environment)
        )

    def _start(self, process: OwnProcess) -> OwnProcess:
        self._processes.append(process)
        return process

    def _await_exit(self, process: OwnProcess) -> None:
        if not wait_until(lambda: not process.running, self._settings.patience_seconds):
            raise FailedError(f"{process.name} did not end in time")
        process.check()

    def _wait_for_step(self, process: OwnProcess, site: DemoSite, step: int) -> None:
        def reached() -> bool:
            process.check()
            try:
                return read_heartbeat(site.work / HEARTBEAT_NAME).step >= step
            except NotFoundError:
                return False

        if not wait_until(reached, self._settings.patience_seconds):
            raise FailedError(f"{process.name} did not reach step {step} in time")

    def _tell_news(self, arrivals: Arrivals) -> None:
        for name, snapshot in arrivals.take_news():
            root = arrivals.roots[snapshot]
            site = next(site for site in self._stage.sites if site.name == name)
            kind = MomentKind.SNAPSHOT if name == "A" else MomentKind.REPLICATED
            ago = self._recorder.offset() - arrivals.seen[name, snapshot]
            what = "has its snapshot" if name == "A" else "arrived whole"
            self._mark(kind, f"step {root.step} {what} on site {name}", site, seconds_ago=ago)

    def _mark(
        self, kind: MomentKind, text: str, site: DemoSite | None = None, *, result: str = "", seconds_ago: float = 0.0
    ) -> Moment:
        moment = self._recorder.mark(
            kind,
            f"{text[0].upper()}{text[1:]}.",
            site=site.name if site is not None else "",
            result_sha256=result,
            seconds_ago=seconds_ago,
        )
        self._tell(text, seconds_ago)
        return moment

    def _tell(self, text: str, seconds_ago: float = 0.0) -> None:
        self._say(SYSTEM_CLOCK.monotonic() - self._begun - seconds_ago, text)


def _losses(log: Path) -> dict[int, float]:
    """Step → loss, from the trainer's output. A line that is being written is passed over."""
    losses = {}
    for line in log.read_text().splitlines():
        try:
            told = json.loads(line)
            losses[int(told["step"])] = float(told["loss"])
        except (ValueError, KeyError):
            continue
    return losses
