"""Costs of a run: planted times and prices give the figures that somebody counted by hand; what is missing is said."""

from __future__ import annotations

from types import ModuleType

import msgspec
import pytest
from runs import PLANE, SECOND, START, Said, estimate, example_drill, example_plan, example_run, example_setting
from scripted import by_script, loaded_script

from holdfast.evidence.bundle import make_files, verify_files
from holdfast.evidence.chain import chain_problems, decode_journal, journal_file
from holdfast.evidence.consistency import contradictions
from holdfast.evidence.evidence_page import Seal, render_page
from holdfast.evidence.gathered import RunOfJournal
from holdfast.evidence.pdf.document import render_pdf
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_costs import Costs
from holdfast.evidence.recording import record_of
from holdfast.evidence.terms import CostTerms, PoolTerms, Told, TrainingTerms, WayTerms
from holdfast.objectives import NOT_MEASURED
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.plans import Kind, Plan, Step
from holdfast.trust.signing import SigningKey

KEY = SigningKey(bytes(range(64)))
GB = 1 << 30
change = msgspec.structs.replace

TERMS = CostTerms(
    currency="USD",
    as_of="2026-11-21",
    pools=(PoolTerms(site="b", shape="H100x8", gpus=Told(8.0, "gpus of b"), hourly=Told(40.0, "price of b")),),
    ways=(
        WayTerms(
            store="a/warm",
            site="b",
            egress=Told(0.09, "egress of a"),
            egress_gb=10**9,
            retrieval=Told(0.01, "price book"),
            requests=Told(0.4, "price book"),
            gb=GB,
        ),
    ),
    training=(
        TrainingTerms(
            asset="run",
            site="a",
            machines=Told(4.0, "service"),
            gpus=Told(8.0, "gpus of a"),
            hourly=Told(36.0, "price of a"),
            step_seconds=Told(9.0, "interval"),
        ),
    ),
)


def plan() -> Plan:
    """Fence a, get 4 machines at b, restore from a/warm, verify, promote, start, wait until it is good."""

    def step(name: str, kind: Kind, after: str, **with_: str | int) -> Step:
        return Step(
            id=name,
            kind=kind,
            title=name,
            site="b",
            asset="run",
            after=(after,) if after else (),
            with_=dict(with_),
            estimate=estimate(1.0),
            no_undo="nothing is changed",
        )

    steps = (
        step("fence-run", Kind.FENCE, ""),
        step("get-compute-run", Kind.GET_COMPUTE, "fence-run", shape="H100x8", number=4),
        step("restore-run", Kind.RESTORE, "get-compute-run", store="a/warm"),
        step("verify-run", Kind.VERIFY, "restore-run"),
        step("promote-run", Kind.PROMOTE, "verify-run"),
        step("start-run", Kind.START, "promote-run"),
        step("wait-healthy-run", Kind.WAIT_HEALTHY, "start-run"),
    )
    intent = change(example_plan().intent, fault_at=START, noticed_at=START + 2 * SECOND)
    return example_plan(steps=steps, intent=intent)


READ = {"bytes": 5 * GB, "store": "a/warm", "read_bytes": 2 * GB, "read_requests": 500, "read_elsewhere": 0}


def course(read: dict[str, object] = READ) -> list[Said]:
    """Taken 10 s after the fault; machines at 20 s; good at 380 s."""
    said: list[Said] = [(10.0, Deed.TAKEN, {"text": "started"})]
    at = 10.0
    for name, seconds, facts in (
        ("fence-run", 2.0, {}),
        ("get-compute-run", 8.0, {"machines": 4, "shape": "H100x8", "seconds": 7.5}),
        ("restore-run", 300.0, read),
        ("verify-run", 30.0, {"files": 3, "bytes": 5 * GB}),
        ("promote-run", 5.0, {}),
        ("start-run", 5.0, {"machines": 4, "seconds": 5.0}),
        ("wait-healthy-run", 20.0, {"machines": 4, "good": 3, "seconds": 20.0}),
    ):
        said.append((at, Deed.BEGUN, {"step": name, "attempt": 1}))
        at += seconds
        said.append((at, Deed.DONE, {"step": name, "attempt": 1, "facts": facts}))
    return [*said, (at + 1.0, Deed.ENDED, {"text": "PASSED"})]


def made(
    said: list[Said] | None = None, terms: CostTerms | None = TERMS, drill: bool = True
) -> tuple[RunOfJournal, Evidence]:
    run = example_run(course() if said is None else said, plan())
    known = example_drill(faults=(), detections=(), moments=(), fault_step=87) if drill else None
    return run, record_of(run, example_setting(terms=terms), known)


def costs_of(record: Evidence) -> Costs:
    assert record.costs is not None
    return record.costs


def test_planted_prices_and_times_give_what_was_counted_by_hand() -> None:
    run, record = made()
    costs = costs_of(record)
    [got], [read], [lost] = costs.compute, costs.reading, costs.lost
    # 4 machines of 8 GPUs from 20 s to 380 s: 360 s, a tenth of an hour.
    assert (got.seconds, got.until) == (360.0, "the service was good")
    assert got.gpu_hours == pytest.approx(3.2) and got.amount == pytest.approx(16.0)
    # 2 GiB over a line of 0.09 for 10^9 bytes; retrieval 0.01 a GiB; 500 requests at 0.4 for 1,000.
    assert read.amount == pytest.approx(2 * GB / 1e9 * 0.09 + 0.02 + 0.2, abs=1e-6)
    # 7 steps (87 - 80) of 9 s on 32 GPUs; and 380 s of 32 GPUs from the fault until it was good.
    assert (lost.steps, lost.idle_seconds) == (7, 380.0)
    assert lost.rework_gpu_hours == pytest.approx(7 * 9 * 32 / 3600, abs=1e-6)
    assert lost.idle_gpu_hours == pytest.approx(380 * 32 / 3600, abs=1e-6)
    assert lost.gpu_hours == pytest.approx(0.56 + 3.377778, abs=2e-6)
    assert lost.amount == pytest.approx(3.937778 * 36 / 8, abs=1e-5)
    assert costs.spent == pytest.approx(16.0 + 0.413274, abs=1e-6)
    assert record.results.work_lost.gpu_hours == costs.gpu_hours == lost.gpu_hours
    assert record.results.work_lost.usd == costs.lost_amount == lost.amount
    assert contradictions(record) == []
    journal = decode_journal(journal_file(run.run, run.stores, run.entries, run.head), "journal.json")
    assert chain_problems(journal, record) == []


def test_a_recovery_knows_no_step_and_so_no_sum_but_what_was_spent() -> None:
    _, record = made(drill=False)
    costs = costs_of(record)
    [lost] = costs.lost
    assert costs.spent == pytest.approx(16.413274, abs=1e-6)
    assert lost.idle_gpu_hours == pytest.approx(3.377778, abs=1e-6)  # it is known, and shown
    assert (lost.rework_gpu_hours, lost.gpu_hours, costs.gpu_hours) == (NOT_MEASURED, NOT_MEASURED, NOT_MEASURED)
    why = {one.figure: one.source for one in record.results.origins}
    assert why["GPU-hours lost"] == "NOT_MEASURED: steps: nobody saw at which step it was"
    assert record.results.work_lost.usd is NOT_MEASURED and contradictions(record) == []


@pytest.mark.parametrize(
    ("read", "why"),
    [
        ({"bytes": 1, "store": "a/warm"}, "did not count"),
        (READ | {"read_elsewhere": 5}, "other copies"),
        (READ | {"read_bytes": -1}, "did not count"),
        (READ | {"read_bytes": True}, "did not count"),
        (READ | {"store": "c/warm"}, "nobody told"),
    ],
)
def test_bytes_that_nobody_counted_have_no_price(read: dict[str, object], why: str) -> None:
    _, record = made(course(read))
    [row] = costs_of(record).reading
    assert row.amount is NOT_MEASURED and any(why in note for note in row.notes)
    assert costs_of(record).spent is NOT_MEASURED and costs_of(record).gpu_hours is not NOT_MEASURED
    assert contradictions(record) == []


def test_a_hot_standby_reads_nothing_and_pays_nothing() -> None:
    _, record = made(course({"standing": True, "bytes": 0}))
    assert costs_of(record).reading[0].amount == 0.0 and costs_of(record).spent == pytest.approx(16.0)


def test_another_attempt_read_what_nobody_counted() -> None:
    said = course()
    place = next(i for i, one in enumerate(said) if one[2].get("step") == "restore-run")
    again: list[Said] = [
        (21.0, Deed.FAILED, {"step": "restore-run", "attempt": 1, "text": "no answer", "facts": {"retry": True}}),
        (22.0, Deed.BEGUN, {"step": "restore-run", "attempt": 2}),
    ]
    _, record = made([*said[: place + 1], *again, *said[place + 1 :]])
    [row] = costs_of(record).reading
    assert row.bytes is NOT_MEASURED and "2 attempts" in row.notes[0]


def test_machines_end_when_they_are_given_back_when_the_run_ends_or_nobody_knows() -> None:
    got = course()[:5]
    failed: list[Said] = [
        (30.0, Deed.BEGUN, {"step": "restore-run", "attempt": 1}),
        (31.0, Deed.FAILED, {"step": "restore-run", "attempt": 1, "text": "damage", "facts": {"retry": False}}),
    ]
    ended: Said = (92.0, Deed.ENDED, {"text": "FAILED", "facts": {}})
    back: list[Said] = [
        (40.0, Deed.UNDOING, {"step": "get-compute-run"}),
        (56.0, Deed.UNDONE, {"step": "get-compute-run"}),
    ]
    [row] = costs_of(made([*got, *failed, *back, ended])[1]).compute
    assert (row.seconds, row.until) == (36.0, "they were given back") and row.amount == pytest.approx(1.6)
    [row] = costs_of(made([*got, *failed, ended])[1]).compute
    assert (row.seconds, row.until) == (72.0, "the run ended")
    clock: Said = (12.0, Deed.ENDED, {"text": "FAILED", "facts": {}})
    [row] = costs_of(made([*got, *failed, clock])[1]).compute
    assert row.seconds is NOT_MEASURED and row.amount is NOT_MEASURED and "clock" in row.notes[0]


def test_who_adopted_a_run_does_not_know_since_when_it_had_its_machines() -> None:
    said = course()
    said[4] = (20.0, Deed.DONE, {"step": "get-compute-run", "attempt": 1, "facts": {"machines": 4}, "by": PLANE})
    [row] = costs_of(made(said)[1]).compute
    assert row.machines == 4 and row.seconds is NOT_MEASURED and "gone before" in row.notes[0]


def test_without_prices_there_is_gpu_time_and_no_money() -> None:
    pools = (change(TERMS.pools[0], hourly=Told(source="nobody said")),)
    training = (change(TERMS.training[0], hourly=Told(source="nobody said")),)
    _, record = made(terms=change(TERMS, pools=pools, training=training))
    assert record.results.work_lost.gpu_hours == pytest.approx(3.937778, abs=2e-6)
    assert record.results.work_lost.usd is NOT_MEASURED and costs_of(record).spent is NOT_MEASURED
    why = {one.figure: one.source for one in record.results.origins}
    assert why["money lost"] == "NOT_MEASURED: price: nobody said"
    _, record = made(terms=change(TERMS, currency="EUR"))
    assert record.results.work_lost.usd is NOT_MEASURED and costs_of(record).lost_amount is not NOT_MEASURED
    _, record = made(terms=None)
    assert record.costs is None and record.results.work_lost.gpu_hours is NOT_MEASURED


def test_where_nothing_failed_nothing_is_lost() -> None:
    intent = change(example_plan().intent, isolated=True, approvers=0)
    bare = change(plan(), intent=intent)
    run = example_run(course(), bare)
    costs = costs_of(record_of(run, example_setting(terms=TERMS)))
    assert costs.lost == () and costs.gpu_hours is NOT_MEASURED and costs.spent is not NOT_MEASURED


def signed(record: Evidence, run: RunOfJournal) -> dict[str, bytes]:
    return make_files(record, KEY, journal=journal_file(run.run, run.stores, run.entries, run.head))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return loaded_script()


def test_both_verifiers_compute_it_again(script: ModuleType, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    run, record = made()
    verify_files(signed(record, run))
    by_script(script, signed(record, run), tmp_path)
    costs = costs_of(record)
    [got], [read], [lost] = costs.compute, costs.reading, costs.lost
    lies = [
        change(costs, spent=1.0),
        change(costs, gpu_hours=NOT_MEASURED),
        change(costs, compute=(change(got, amount=15.0),)),
        change(costs, compute=(change(got, machines=3),)),
        change(costs, compute=()),
        change(costs, compute=(change(got, seconds=180.0, gpu_hours=1.6, amount=8.0),)),
        change(costs, reading=(change(read, amount=0.0),)),
        change(costs, reading=(change(read, bytes=GB),)),
        change(costs, lost=(change(lost, gpu_hours=1.0),)),
        change(costs, lost=(change(lost, idle_seconds=10.0),)),
    ]
    monkeypatch.setattr("holdfast.evidence.bundle.contradictions", lambda record: [])
    monkeypatch.setattr("holdfast.evidence.bundle.chain_problems", lambda journal, record: [])
    for number, lie in enumerate(lies):
        wrong = change(record, costs=lie)
        files = signed(wrong, run)
        journal = decode_journal(files["journal.json"], "journal.json")
        assert contradictions(wrong) or chain_problems(journal, wrong), number
        with pytest.raises(script.Wrong):
            by_script(script, files, tmp_path)


def test_the_page_and_the_pdf_show_it() -> None:
    import pypdfium2

    _, record = made()
    seal = Seal("ab" * 32, "cd" * 16, "Ed25519 + ML-DSA-65")
    page = render_page(record, seal)
    assert "USD 16.41" in page and "Spent on the recovery" in page and "until the service was good" in page
    document = pypdfium2.PdfDocument(render_pdf(record, seal))
    text = " ".join(" ".join(one.get_textpage().get_text_range() for one in document).split())
    assert "USD 16.41" in text and "Machines that were got" in text
