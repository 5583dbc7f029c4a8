"""`train-exec` from the first restore to the exit code: lives of the command, and what lies between them."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec

from holdfast.errors import HoldfastError, RefusedError
from holdfast.training.executing import events, slurm
from holdfast.training.executing.asks import Ask, Begun
from holdfast.training.executing.attempts import Attempt
from holdfast.training.executing.attending import Attendance, Outcome
from holdfast.training.executing.backing_off import delay_before
from holdfast.training.executing.commands.bell import Bell
from holdfast.training.executing.commands.ends import End
from holdfast.training.executing.commands.environment import environment_for
from holdfast.training.executing.commands.family import adopt_orphans, end_family
from holdfast.training.executing.commands.running import Command
from holdfast.training.executing.commands.torch_errors import ERROR_FILE_VARIABLE
from holdfast.training.executing.evidence import write_evidence
from holdfast.training.executing.folder import Lock, ledger_path, read_kept, write_kept
from holdfast.training.executing.grace import Grace
from holdfast.training.executing.hanging import Silence
from holdfast.training.executing.looking import look
from holdfast.training.executing.saves import Work, Workers
from holdfast.training.executing.settings import AfterNotice, Requeue, Settings
from holdfast.training.executing.speeds import Speed
from holdfast.training.executing.watching import Watching

__all__ = ["Supervisor"]

_LEFT_BEHIND_SECONDS = 5.0
_RECORD_SECONDS_MIN = 3.0  # of the grace: less is not enough to open a vault and write one object


class _Interrupted(Exception):
    """SIGTERM, SIGINT or SIGHUP came while no command ran."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Supervisor:
    """Runs a command as `Settings` say. `run` is called once, from the main thread."""

    def __init__(self, settings: Settings, tell: events.Tell, random: Random) -> None:
        self._settings = settings
        self._tell = tell
        self._random = random
        self._folder = settings.folder
        self._ledger_file = ledger_path(settings.folder, settings.place.vault, settings.place.asset)
        self._workers = Workers(settings.place, tell, Speed(read_kept(settings.folder).rate))
        self._silence = Silence(settings.hang_after, learned=settings.hang_learned)
        self._bell = Bell()
        self._watching: Watching | None = None
        self._attempt: Attempt | None = None
        self._restarts = 0
        self._stuck = 0
        self._started = time.monotonic()

    def plan(self) -> Begun:
        """What `run` would begin from. Changes nothing. Raises what `run` raises."""
        answer = self._workers.ask(self._question("look"))
        assert isinstance(answer, Begun)
        return answer

    def run(self) -> int:
        """Returns the exit code: the command's, unless it never ran.

        Raises ConflictError (another one is at work in the folder), RefusedError (a resume loop), NotFoundError and
        PermissionDeniedError (no such command), and what restoring raises.
        """
        lock = Lock(self._folder)
        adopt_orphans()
        try:
            with self._bell.listening():
                return self._live()
        finally:
            lock.close()

    def _live(self) -> int:
        while True:
            try:
                begun = self._begin()
                if begun.verdict == "give-up":
                    self._give_up(begun)
                outcome = self._attend(begun)
                self._note_end(outcome)
                code = self._after(outcome)
                if code is not None:
                    return code
            except _Interrupted as stop:
                return self._interrupted(stop.number)

    def _interrupted(self, number: int) -> int:
        """Nothing runs. What is restored half goes on at the next start; what is complete is saved if there is time."""
        name = signal.Signals(number).name
        self._tell(events.Signalled(signal=name, action="no command runs: this is the end"))
        self._workers.abandon(f"{name} came")
        if self._attempt is not None and number != signal.SIGINT:
            self._grace(time.monotonic() + self._settings.grace).save_all()
        return self._finished(End(name, 128 + number, number, name), 128 + number)

    # ---- before ----

    def _begin(self) -> Begun:
        work = Work(lambda: self._workers.ask(self._question("begin")), self._bell.ring)
        self._wait_for(work)
        if work.error is not None:
            raise work.error
        begun = work.result
        assert isinstance(begun, Begun)
        self._attempt, self._stuck = begun.attempt, begun.stuck
        if begun.verdict != "give-up":
            self._tell(
                events.Resuming(
                    checkpoint=begun.chosen,
                    restored=begun.restored,
                    reason=begun.reason,
                    stuck=begun.stuck,
                    seconds=begun.seconds,
                )
            )
        if begun.restored and begun.chosen is not None and begun.chosen.fingerprint:
            self._workers.saved[begun.chosen.fingerprint] = begun.chosen.snapshot
        if self._watching is None:
            self._watching = self._watch(begun)
        return begun

    def _question(self, verb: str) -> Ask:
        attempt = Attempt(secrets.token_hex(8), 0, host=socket.gethostname(), job=slurm.label_of(os.environ))
        return Ask(
            verb,
            self._settings.place,
            attempt=attempt,
            ended=self._attempt,
            restore=self._settings.restore,
            anew=self._settings.anew and not self._restarts,
        )

    def _watch(self, begun: Begun | None, *, once: bool = False) -> Watching:
        return Watching(
            self._workers,
            self._ledger_file,
            tell=self._tell,
            heard=lambda complete: self._silence.heard(time.monotonic(), checkpoint=complete),
            done=self._bell.ring,
            known=begun.known if begun is not None else None,
            interval_seconds=0.2 if once else self._settings.interval,
            settle_seconds=0.0 if once else self._settings.settle,
            once=once,
        )

    def _give_up(self, begun: Begun) -> None:
        path = write_evidence(self._folder, self._settings.place.asset, begun)
        self._tell(events.GaveUp(reason=begun.reason, evidence=str(path)))
        raise RefusedError(
            f"starting again leads nowhere: {begun.reason}",
            hint=f"the attempts are in {path}; when the cause is gone, --anew starts without counting them",
            object_name=str(path),
        )

    # ---- while it runs ----

    def _attend(self, begun: Begun) -> Outcome:
        error_file = Path(tempfile.gettempdir(), f"holdfast-{os.getpid()}-{secrets.token_hex(8)}.json")
        environment = environment_for(begun, self._folder, self._restarts, error_file)
        command = Command(self._settings.command, environment)
        self._tell(events.Started(pid=command.pid, restart=self._restarts))
        attendance = Attendance(
            self._settings,
            command,
            self._bell,
            self._workers,
            self._silence,
            self._tell,
            error_file=Path(environment[ERROR_FILE_VARIABLE]),
            grace=self._grace,
        )
        try:
            outcome = attendance.attend()
        except BaseException:  # a fault of ours: a command that nobody attends to must not go on by itself
            with self._workers.none_begins() as besides:
                end_family(command.pid, besides=besides, patience_seconds=_LEFT_BEHIND_SECONDS)
            raise
        finally:
            with suppress(OSError):
                error_file.unlink(missing_ok=True)
        if outcome.end.kind != "DONE" or outcome.asked is not None:
            patience = _LEFT_BEHIND_SECONDS
            if outcome.deadline is not None:
                patience = min(patience, max(0.1, (outcome.deadline - time.monotonic()) / 4))
            with self._workers.none_begins() as besides:
                count = end_family(command.pid, besides=besides, patience_seconds=patience)
            if count:
                self._tell(events.Noted(message=f"processes that the command left behind, and were ended: {count}"))
        return outcome

    def _grace(self, deadline: float) -> Grace:
        if self._watching is not None:
            self._watching.stop.set()
        return Grace(self._workers, self._ledger_file, self._bell, self._tell, deadline)

    # ---- after ----

    def _note_end(self, outcome: Outcome) -> None:
        """In the folder, where it is always possible; the vault hears of it when there is time."""
        if self._attempt is None:
            return
        end = outcome.end
        self._attempt = msgspec.structs.replace(
            self._attempt, end=end.kind, code=end.code, asked=outcome.asked is not None
        )
        try:
            write_kept(self._folder, [self._attempt], self._workers.speed.bytes_per_second)
        except HoldfastError as error:
            self._tell(events.Noted(message=error.message, warning=True))

    def _after(self, outcome: Outcome) -> int | None:
        """The exit code, or None when the command is started again."""
        end, settings = outcome.end, self._settings
        if outcome.asked is not None:
            self._leave(outcome.deadline)
            wanted = outcome.asked == signal.SIGUSR1 and settings.after_notice is AfterNotice.REQUEUE
            wanted = wanted or outcome.asked in settings.recoverable.signals
            if wanted and self._requeue(end, f"{signal.Signals(outcome.asked).name} ended it"):
                return self._finished(end, settings.requeue_code if self._by_exit else end.code)
            return self._finished(end, end.code)
        hung = end.kind == "HANG" and settings.restart_hung
        if end.kind == "DONE" or not (hung or settings.recoverable.covers(end)):
            self._leave(None)
            return self._finished(end, end.code)
        before = self._restarts + (slurm.restart_count(os.environ) if self._by_slurm else 0)
        if before >= settings.max_restarts:
            self._tell(events.Noted(message=f"it was started again {before} times: that is enough", warning=True))
            self._leave(None)
            return self._finished(end, end.code)
        if self._by_slurm or self._by_exit:
            self._leave(None)
            if self._requeue(end, end.words):
                return self._finished(end, settings.requeue_code if self._by_exit else end.code)
            if settings.requeue is not Requeue.AUTO:
                return self._finished(end, end.code)
            self._watching = None
        self._restart_here(end)
        return None

    def _restart_here(self, end: End) -> None:
        self._restarts += 1
        delay = delay_before(self._stuck, self._random)
        self._tell(events.Restarting(restart=self._restarts, delay_seconds=delay, reason=end.words))
        until = time.monotonic() + delay
        while (left := until - time.monotonic()) > 0:
            self._listen(left)

    @property
    def _by_slurm(self) -> bool:
        there = bool(slurm.job_of(os.environ)) and slurm.has_scontrol()
        return self._settings.requeue is Requeue.SLURM or (self._settings.requeue is Requeue.AUTO and there)

    @property
    def _by_exit(self) -> bool:
        return self._settings.requeue is Requeue.EXIT

    def _requeue(self, end: End, reason: str) -> bool:
        """Hand the job back to its scheduler. False, and told, when that cannot be done."""
        if self._by_exit:
            self._tell(events.Requeued(job="", code=self._settings.requeue_code, reason=reason))
            return True
        job = slurm.job_of(os.environ)
        if not self._by_slurm or not job:
            self._tell(events.Noted(message="this is no job of Slurm: nobody is asked to start it again", warning=True))
            return False
        try:
            slurm.requeue(job)
        except HoldfastError as error:
            self._tell(events.Noted(message=f"{error.message}; {error.hint}".rstrip("; "), warning=True))
            return False
        self._tell(events.Requeued(job=job, code=end.code, reason=reason))
        return True

    def _leave(self, deadline: float | None) -> None:
        """Save what is not saved: by a deadline the newest first; else all of it, until somebody has enough of that."""
        if self._watching is not None:
            self._watching.stop.set()
        if deadline is not None:
            self._grace(deadline).save_all()
            if deadline - time.monotonic() > _RECORD_SECONDS_MIN:
                self._record_end(deadline)
            return
        try:
            if self._watching is not None:
                self._wait_for(self._watching.work)
            last = self._watch(None, once=True)
            self._wait_for(last.work)
        except _Interrupted as stop:
            self._workers.abandon("a second signal came")
            if stop.number != signal.SIGINT:
                self._grace(time.monotonic() + self._settings.grace).save_all()
            return
        if last.work.error is not None:
            self._tell(events.Noted(message=str(last.work.error), warning=True))
        self._record_end()

    def _record_end(self, deadline: float | None = None) -> None:
        """Tell the vault how the attempt ended; the folder knows already, so a signal, or the deadline, ends this."""
        if self._attempt is None:
            return
        question = msgspec.structs.replace(self._question("note"), attempt=self._attempt)
        work = Work(lambda: self._workers.ask(question), self._bell.ring)
        try:
            self._wait_for(work, deadline)
        except _Interrupted:
            self._workers.abandon("a signal came")
            work.join()
        if work.error is not None:
            text = work.error.message if isinstance(work.error, HoldfastError) else type(work.error).__name__
            self._tell(events.Noted(message=f"how it ended is recorded in the folder only: {text}"))

    def _wait_for(self, work: Work, deadline: float | None = None) -> None:
        while work.is_alive():
            if deadline is not None and time.monotonic() >= deadline:
                self._workers.abandon("no time is left")
            self._listen(0.2 if deadline is not None else 1.0)

    def _listen(self, seconds: float) -> None:
        """Raises _Interrupted when somebody wants an end while no command runs."""
        for number in self._bell.wait(seconds):
            if number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                raise _Interrupted(number)

    def _finished(self, end: End, code: int) -> int:
        place = self._settings.place
        unsaved: list[str] = []
        try:
            here = look(self._folder, self._ledger_file, place.patterns)
            unsaved = [one.place for one in here.unsaved if one.fingerprint not in self._workers.saved]
        except HoldfastError as error:
            self._tell(events.Noted(message=error.message, warning=True))
        self._tell(
            events.Finished(
                code=code,
                kind=end.kind,
                restarts=self._restarts,
                saved=self._workers.saved_count,
                unsaved=unsaved,
                durable_step=self._workers.durable_step,
                seconds=time.monotonic() - self._started,
            )
        )
        return code
