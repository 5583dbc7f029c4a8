"""Commands that ask a server for more than one thing, or write what it answers to a file here.

Each takes the server, where to say it, and the command's own parameters. Those that are not in the command's line of
`holdfast.cli.remote.REMOTE` were refused before.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import typer

from holdfast.clock import SYSTEM_CLOCK
from holdfast.errors import FailedError, NotFoundError, RefusedError, UsageError

if TYPE_CHECKING:
    from holdfast.cli.output import Output
    from holdfast.cli.schemas.recoveries import RecoverRun
    from holdfast.control.recovering.plan_files import PlanFile
    from holdfast.control.remote.client import RemoteServer

__all__ = ["ask_operation"]

_EVERY_S: Final = 1.0
_ENDED: Final = ("DONE", "FAILED", "CANCELLED")


def ask_operation(remote: RemoteServer, name: str, given: dict[str, Any]) -> Any:
    """What the server's verb of that name gives. Raises what it says."""
    from holdfast.cli.serving import operation_named

    operation = operation_named(name)
    wanted = {name: value for name, value in given.items() if value not in (None, "")}
    address = "/api/v1" + operation.path
    for argument in list(wanted):
        for kind in ("str", "int"):
            part = "{" + f"{argument}:{kind}" + "}"
            if part in address:
                address = address.replace(part, quote(str(wanted.pop(argument)), safe=""))
    if operation.method == "GET":  # whoever types a command wants what is so now
        return remote.get(address, wanted | ({"fresh": True} if operation.keeps else {}), operation.gives)
    return remote.post(address, wanted, operation.gives, key=secrets.token_hex(16))


def plan(remote: RemoteServer, output: Output, given: dict[str, Any]) -> None:
    """The server puts the plan to the stores; its file is written here."""
    from holdfast.cli.facts.recoveries import planned_facts
    from holdfast.cli.recover import plan_view, write_plan

    if given["markdown"] and given["diagram"]:
        raise UsageError("--markdown and --diagram are two ways of printing", hint="give one of them")
    out = given["out"]
    if out is not None and out.exists():
        raise FailedError(f"{out} exists already", hint="plans are not replaced: name another file")
    names = ("name", "to", "as_of", "graceful", "reason", "fault_at", "noticed_at")
    wanted = {name: given[name] for name in names} | _rehearsal(given)
    made = ask_operation(remote, "recover.plan", wanted)
    file: PlanFile = ask_operation(remote, "recover.file", {"run": made.run})
    if out is not None:
        write_plan(out, file)
    output.give(
        planned_facts(file, None if out is None else str(out)), plan_view(file, given["markdown"], given["diagram"])
    )
    output.finish(f"planned run {file.run} at {remote.shown}" + (f" in {out}" if out is not None else "") + ",")


def _rehearsal(given: dict[str, Any]) -> dict[str, Any]:
    return {} if given["isolated"] is None else {"isolated": True, "target": given["isolated"]}


def review(remote: RemoteServer, output: Output, given: dict[str, Any]) -> None:
    """As of a plan's file: also whether the server has that plan."""
    from holdfast.cli.views.recoveries import reviewed_lines

    record = ask_operation(remote, "recover.review", {"run": _run_of(remote, given["file"])})
    output.give(record, reviewed_lines)
    output.finish(f"run {record.run} " + ("may be run," if record.passed else "is refused,"))
    if not record.passed:
        raise typer.Exit(5)


def check(remote: RemoteServer, output: Output, given: dict[str, Any]) -> None:
    """The exit code says whether it could be recovered."""
    from holdfast.cli.phrases import count
    from holdfast.cli.views.recoveries import checked_lines

    wanted = {name: given[name] for name in ("name", "to", "as_of")} | _rehearsal(given)
    record = ask_operation(remote, "recover.check", wanted)
    output.give(record, checked_lines)
    bad = len(record.refusals) + len(record.not_possible)
    output.finish(f"{given['name']}: {count(bad, 'problem')}," if bad else f"{given['name']} could be recovered now,")
    if bad:
        raise typer.Exit(5)


def approve(remote: RemoteServer, output: Output, given: dict[str, Any]) -> None:
    """Exactly the plan that the file holds, where it is a file."""
    from holdfast.cli.views.recoveries import approved_lines
    from holdfast.units import parse_duration

    wanted = {"run": _run_of(remote, given["file"]), "seconds": parse_duration(given["for_"])}
    record = ask_operation(remote, "recover.approve", wanted)
    output.give(record, approved_lines)
    output.finish(f"approved run {record.run},")


def run(remote: RemoteServer, output: Output, given: dict[str, Any]) -> None:
    """A worker of the server runs it; without --queue it is followed to its end."""
    from holdfast.cli.recover_runs import require_meant

    run = _run_of(remote, given["file"])
    if not given["yes"]:
        require_meant(output, ask_operation(remote, "recover.file", {"run": run}).plan)
    _begin(remote, output, run, given["target"], follow=not given["queue"])


def adopt(remote: RemoteServer, output: Output, given: dict[str, Any]) -> None:
    """A worker of the server goes on with it."""
    _begin(remote, output, given["run"], given["target"], follow=True)


def _begin(remote: RemoteServer, output: Output, run: str, target: str, *, follow: bool) -> None:
    work = ask_operation(remote, "recover.start", {"run": run, "target": target})
    if not follow:
        _give_run(output, ask_operation(remote, "recover.run", {"run": run}), "was handed to the workers:")
        return
    output.say(f"run {run}: a worker of {remote.shown} has it; it goes on if this process dies")
    _follow(remote, output, run, work.key)


def _follow(remote: RemoteServer, output: Output, run: str, work: str = "") -> None:
    """Until it has ended, or the work that was to run it has."""
    last = ""
    while True:
        record = ask_operation(remote, "recover.run", {"run": run})
        under_way = ", ".join(one.id for one in record.steps if one.state == "begun")
        done_ones = sum(one.state == "done" for one in record.steps)
        line = f"{done_ones} of {len(record.steps)} steps" + (f", {under_way}" if under_way else "")
        if line != last:
            output.say(line)
            last = line
        done = _work(remote, "recover.run", work) if work else None  # its worker writes evidence after the run's end
        if done is not None and done.state in _ENDED:
            record = ask_operation(remote, "recover.run", {"run": run})
            if record.ended is None and done.error is not None:
                raise FailedError(
                    f"the run {run} was not brought to an end: {done.error.message}", hint=done.error.hint
                )
            break
        if record.ended is not None and not work:
            break
        SYSTEM_CLOCK.sleep(_EVERY_S)
    _give_run(output, record, f"{record.state},")
    if record.state != "PASSED":
        raise typer.Exit(1)


def _work(remote: RemoteServer, kind: str, key: str) -> Any:
    listed = ask_operation(remote, "worker.list", {"kind": kind, "newest": 1000})
    return next((one for one in listed.work if one.key == key), None)


def _give_run(output: Output, record: RecoverRun, outcome: str) -> None:
    from holdfast.cli.views.recoveries import run_lines

    output.give(record, run_lines)
    output.finish(f"run {record.run} {outcome}")


def status(remote: RemoteServer, output: Output, given: dict[str, Any]) -> None:
    """One run, or the newest of them."""
    from holdfast.cli.phrases import count
    from holdfast.cli.views.recoveries import runs_lines

    if given["run"] is None and given["follow"]:
        raise UsageError("--follow follows one run", hint="name it: `recover status` lists the newest")
    if given["run"] is None:
        record = ask_operation(remote, "recover.runs", {"newest": given["last"]})
        output.give(record, runs_lines)
        output.finish(f"{count(len(record.runs), 'run')},")
    elif given["follow"]:
        _follow(remote, output, given["run"])
    else:
        one = ask_operation(remote, "recover.run", {"run": given["run"]})
        _give_run(output, one, f"is {one.state},")


def _run_of(remote: RemoteServer, given: Path) -> str:
    """A run by its id; of a plan's file its run, if the server has exactly that plan. Raises RefusedError."""
    from holdfast.control.recovering.plan_files import is_run_id, read_plan_file
    from holdfast.recovery.plans import plan_hash

    if is_run_id(str(given)):
        return str(given)
    file = read_plan_file(given)
    try:
        there = ask_operation(remote, "recover.file", {"run": file.run})
    except NotFoundError as error:
        raise NotFoundError(
            f"{remote.shown} knows no run {file.run}", hint="`recover plan --server URL` puts a plan to the stores"
        ) from error
    if plan_hash(there.plan) != plan_hash(file.plan):
        raise RefusedError(f"{given} holds another plan than the run {file.run} at {remote.shown}")
    return file.run


def drill_run(remote: RemoteServer, output: Output, given: dict[str, Any]) -> None:
    """A worker rehearses it; what came of it is shown when it has ended."""
    from holdfast.cli.views.drills import ran_lines

    if not given["name"]:
        raise UsageError("a server rehearses a drill by its NAME", hint="`holdfast drill list` names them")
    work = ask_operation(remote, "drill.run", {"name": given["name"], "scenario": given["scenario"]})
    output.say(f"a worker of {remote.shown} has it; it goes on if this process dies")
    while (done := _work(remote, "drill.run", work.key)) is None or done.state not in _ENDED:
        SYSTEM_CLOCK.sleep(_EVERY_S)
    drill = str(done.outcome.get("drill", "")) or (done.error.message.split()[2] if _names_drill(done) else "")
    if not drill:
        said = "it was cancelled" if done.error is None else done.error.message
        raise FailedError(f"the drill did not run: {said}", hint="" if done.error is None else done.error.hint)
    record = ask_operation(remote, "drill.report", {"drill": drill})
    output.give(record, ran_lines)
    missed = bool(done.outcome.get("missed"))
    output.finish(f"drill {drill} {record.state}{', and an objective was missed' if missed else ''},")
    if missed or done.state != "DONE":
        raise typer.Exit(9 if missed else 1)


def _names_drill(done: Any) -> bool:
    return done.error is not None and done.error.message.startswith("the drill ") and " ended " in done.error.message


def drill_stop(remote: RemoteServer, output: Output, given: dict[str, Any]) -> None:
    """One, or all of them."""
    from holdfast.cli.views.drills import stopped_lines

    if sum(map(bool, (given["drill"], given["all_"], given["release"]))) != 1:
        raise UsageError("one of ID, --all and --release is given")
    wanted = {name: given[name] for name in ("drill", "release", "reason")}
    record = ask_operation(remote, "drill.stop", wanted)
    output.give(record, stopped_lines)
    output.finish("drills may begin," if record.released else "told to stop,")


def evidence_export(remote: RemoteServer, output: Output, given: dict[str, Any]) -> None:
    """What the server sends is verified here before it is written."""
    from holdfast.cli.facts.evidence import exported_facts
    from holdfast.cli.phrases import count
    from holdfast.cli.views.evidence import exported_lines
    from holdfast.control.evidencing.reading import Exported, Shown
    from holdfast.evidence.bundle import verify_files, write_files

    bundle = ask_operation(remote, "evidence.export", {"run": given["run"]})
    verified = verify_files(bundle.files)
    write_files(bundle.files, given["folder"])
    found = Exported(Shown(verified, (), "", bundle.files), given["folder"], tuple(bundle.added), bundle.log)
    record = exported_facts(found, None)
    output.give(record, exported_lines)
    output.finish(f"wrote {count(len(record.evidence.files), 'file')} to {record.folder},")


def snapshot_show(remote: RemoteServer, output: Output, given: dict[str, Any]) -> None:
    """`asset@ref`, or an asset's newest."""
    from functools import partial

    from holdfast.cli.views.bars import strokes_for
    from holdfast.cli.views.shown import shown_lines

    asset, _, ref = given["ref"].partition("@")
    flags = {name: given[name] for name in ("tensors", "files", "codecs", "circumstances")}
    record = ask_operation(remote, "snapshot.show", {"asset": asset, "ref": ref or "latest"} | flags)
    output.give(record, partial(shown_lines, strokes=strokes_for(sys.stdout)))
    output.finish(f"showed {record.snapshot.id}")


def snapshot_list(remote: RemoteServer, output: Output, given: dict[str, Any]) -> None:
    """Of one asset."""
    from holdfast.cli.phrases import count
    from holdfast.cli.views.snapshots import list_lines

    if not given["asset"]:
        raise UsageError("a server lists the snapshots of an asset", hint="--asset NAME")
    record = ask_operation(remote, "snapshot.list", {"asset": given["asset"], "newest": given["limit"]})
    output.give(record, list_lines)
    output.finish(f"listed {count(len(record.snapshots), 'snapshot')}")
    if record.damaged:
        raise typer.Exit(4)


def objective_status(remote: RemoteServer, output: Output, given: dict[str, Any]) -> None:
    """The exit code of --check."""
    from holdfast.cli.phrases import count
    from holdfast.cli.views.objectives import objective_lines

    if len(given["asset"] or ()) > 1:
        raise UsageError("`objective status` asks a server for one --asset at a time")
    record = ask_operation(remote, "objective.status", {"asset": (given["asset"] or [""])[0]})
    output.give(record, objective_lines)
    missed = sum(one.state == "MISSED" for one in record.assets)
    output.finish(f"{count(len(record.assets), 'asset')}: {missed} missed,")
    if any(one.trouble is not None for one in record.assets):
        raise typer.Exit(8)
    if given["check"] and missed:
        raise typer.Exit(9)


def audit_show(remote: RemoteServer, output: Output, given: dict[str, Any]) -> None:
    """All entries that fit, some at a time."""
    from holdfast.cli.audit import shown_view, times_of
    from holdfast.cli.phrases import count
    from holdfast.clock import to_rfc3339

    since, until = times_of(given["since"], given["until"])
    wanted = {name: given[name] for name in ("actor", "action", "decision")}
    wanted |= {"since": to_rfc3339(since)} if given["since"] else {}
    wanted |= {"until": to_rfc3339(until)} if given["until"] else {}
    shown, origin = 0, ""
    following: int | None = 0
    while following is not None:
        page = ask_operation(remote, "audit.show", wanted | {"first": following})
        for at in range(0, len(page.entries), 1 if output.json else len(page.entries) or 1):
            some = page.entries[at : at + 1] if output.json else page.entries
            output.give(some[0], shown_view(some))
        shown, following, origin = shown + len(page.entries), page.next, page.origin
    output.finish(f"listed {count(shown, 'entry')} of the log {origin}")
