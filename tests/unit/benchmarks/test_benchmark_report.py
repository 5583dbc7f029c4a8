"""From raw results to verdicts, tables, the page and its plots."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from benchmarks.report.figures import fastest, speed, stored
from benchmarks.report.numbers import number, spread
from benchmarks.report.page import page
from benchmarks.report.plots import speed_bars, stored_lines
from benchmarks.report.scaling import memory_growth, time_spread
from benchmarks.report.tables import table
from benchmarks.report.targets import TARGETS, judge, verdict_lines
from benchmarks.results import SCHEMA, errors_in, read_results, write_results

MB = 10**6
OPERATIONS = ("save", "save_again", "save_next", "restore", "restore_next")


def tool(seconds: float, stored: int, added: int, **facts: Any) -> dict[str, Any]:
    times = [{"seconds": seconds * factor, "cpu_seconds": 0.0, "peak_bytes": 0} for factor in (1.0, 9.0, 0.5)]
    return {
        "version": "1.0",
        "note": "",
        "library": False,
        "remembers": True,
        "operations": dict.fromkeys(OPERATIONS, times),
        "stored": [stored * MB] * 3,
        "stored_next": [added * MB] * 3,
        "errors": [],
        **facts,
    }


def sources(tools: dict[str, Any]) -> dict[str, Any]:
    return {"bytes": 1000 * MB, "next_bytes": 2000 * MB, "files": 3, "rounds": 3, "absent": [], "tools": tools}


@pytest.fixture
def results() -> dict[str, Any]:
    tools = {
        "holdfast": tool(1, 800, 600),
        "holdfast API": tool(0.5, 800, 600),
        "restic": tool(20, 1000, 2000),
        "restic, compression off": tool(15, 1000, 2000),
        "borg, lz4": tool(7, 900, 1800),
        "ZipNN, in memory": tool(4, 830, 1660),
    }
    states = {step: sources(tools) for step in ("+1", "+10", "+100")}
    entropy = {"bytes": 1000, "bound": 790.0, "groups": {}}
    return {
        "schema": SCHEMA,
        "plan": "quick",
        "machine": {"processor": "P", "cores": 2, "memory": 1 << 34, "kernel": "Linux 6", "python": "3.11"},
        "workload": {
            "plan": "quick",
            "engine": "torch 2.0+cpu",
            "parameters": 20_000_000,
            "steps": 500,
            "warm_steps": 400,
            "first_loss": 5.5,
            "last_loss": 1.5,
        },
        "case_seconds": {},
        "cases": {
            "limits": {"bytes": 1000 * MB, "seconds": {"memcpy": [0.1], "BLAKE3, 2 threads": [0.2, 0.3, 0.1]}},
            "speed-fp32": sources(deepcopy(tools)),
            "ratios": {kind: {"entropy": entropy, **states} for kind in ("fp32", "bf16")},
            "durable": {"skipped": "no disk"},
            "linear": {
                "in_memory": True,
                "saves": [
                    {"bytes": size, "stored": 1, "took": {"seconds": seconds, "peak_bytes": peak}}
                    for size, seconds, peak in ((100, 1.0, 50), (400, 4.4, 55), (100, 1.2, 50), (400, 4.4, 55))
                ],
            },
        },
    }


def verdicts(results: dict[str, Any]) -> dict[str, tuple[str, float | None]]:
    return {verdict.target.key: (verdict.word, verdict.measured) for verdict in judge(TARGETS, results)}


def test_speed_is_source_bytes_by_the_median_time(results: dict[str, Any]) -> None:
    assert speed(results, "speed-fp32", "holdfast", "save") == 1000 * MB
    assert speed(results, "speed-fp32", "holdfast", "save_next") == 2000 * MB  # the later state has its own size
    assert speed(results, "speed-fp32", "nobody", "save") is None
    assert speed(results, "durable", "holdfast", "save") is None


def test_a_peer_is_judged_by_its_fastest_setting(results: dict[str, Any]) -> None:
    names = ["restic", "restic, compression off"]
    assert fastest(results, "speed-fp32", names, "save") == pytest.approx(1000 * MB / 15)
    assert verdicts(results)["save-restic"] == ("MET", pytest.approx(15))


def test_what_misses_and_what_was_not_measured_is_said(results: dict[str, Any]) -> None:
    found = verdicts(results)
    assert found["save-borg"] == ("MISSED", pytest.approx(7))
    assert found["save-zipnn"] == ("MET", pytest.approx(8))
    assert found["save-memcpy"] == ("MET", pytest.approx(0.2))
    assert found["again"] == ("MISSED", pytest.approx(0.4))
    assert found["stored-fp32"] == ("MET", 0.8)
    assert found["stored-bf16-1"] == ("MISSED", 0.3)
    assert found["entropy-fp32"] == ("MET", pytest.approx(800 / 790))
    assert found["durable"] == ("NOT_MEASURED", None)
    assert found["delta-bf16"] == ("NOT_MEASURED", None)


def test_every_target_has_a_key_of_its_own() -> None:
    assert len({target.key for target in TARGETS}) == len(TARGETS)


def test_growing_saves_are_judged_by_medians_of_each_size(results: dict[str, Any]) -> None:
    assert time_spread(results) == pytest.approx(1.1 / 1.1)
    assert memory_growth(results) == 1.1
    results["cases"]["linear"]["saves"][1]["took"]["seconds"] = 44.0
    assert time_spread(results) == pytest.approx((44 + 4.4) / 2 / 400 / (1.1 / 100))


def test_targets_that_name_a_size_are_judged_at_that_size_only(results: dict[str, Any]) -> None:
    cases = results["cases"]
    cases["lazy-reading"] = {"gib": 1, "median_seconds": 0.02}
    cases["many-snapshots"] = {
        "snapshots": 20,
        "list": {"again, whole process": 0.5},
        "save": {"64 MiB": {"ratio": 2.0}},
    }
    cases["large-index"] = {"resident_bytes": 2**29, "lookup_ratio": 1.2, "sizes": [{"chunks": 5_000}]}
    keys = ("lazy-time", "many-list", "many-save", "index-memory", "index-flat", "linear-time", "linear-memory")
    assert {verdicts(results)[key][0] for key in keys} == {"NOT_MEASURED"}
    one = {"bytes_read": 5, "tensor_bytes": 4}
    cases["lazy-reading"] |= {"gib": 10, "first": one, "best": one}
    cases["many-snapshots"]["snapshots"] = 10_000
    cases["large-index"]["sizes"] += [{"chunks": 5_000_000}]
    cases["linear"]["saves"] = [save | {"bytes": save["bytes"] << 30} for save in cases["linear"]["saves"]]
    found = [verdicts(results)[key] for key in keys]
    assert [word for word, _ in found] == ["MET", "MET", "MISSED", "MET", "MET", "MET", "MET"]
    assert (found[0][1], found[3][1]) == (20.0, 512.0)


def test_stored_shares_are_of_each_state_itself(results: dict[str, Any]) -> None:
    found = results["cases"]["speed-fp32"]
    assert stored(found, "holdfast") == 0.8
    assert stored(found, "holdfast", "stored_next") == 0.3


def test_numbers_have_three_digits() -> None:
    assert [number(0.12345), number(1234.5), number(2, "×"), number(None)] == ["0.123", "1,234", "2 ×", "–"]
    assert spread([3.0, 1.0, 2.0]) == "2 (1–3)"
    assert spread([]) == "–"


def test_tables_are_aligned_and_fit(results: dict[str, Any]) -> None:
    lines = table(["", "a"], [["x", "1"], ["long", "22"]]).splitlines()
    assert lines == ["|      |  a |", "|------|---:|", "| x    |  1 |", "| long | 22 |"]
    text = page(results, {}, [])
    assert max(len(line) for line in text.splitlines() if line.startswith("|")) <= 100
    assert max(map(len, verdict_lines(TARGETS, results))) <= 100


def test_the_page_is_filled_and_marked(results: dict[str, Any]) -> None:
    text = page(results, {"save-borg": "because of the tea."}, ["save-fp32.svg"])
    assert "{{" not in text
    assert "comes from a run of the plan `quick`" in text
    assert "Because of the tea." in text
    assert "Not explained yet" in text  # the other misses
    assert "(benchmarks/save-fp32.svg)" in text
    assert "linear.svg" not in text
    results["plan"] = "full"
    assert "comes from a run" not in page(results, {}, [])


def test_what_went_wrong_is_on_the_page_with_its_place(results: dict[str, Any]) -> None:
    results["cases"]["speed-fp32"]["tools"]["restic"]["errors"] = ["it differs"]
    assert errors_in(results["cases"]) == ["speed-fp32/tools/restic: it differs"]
    assert "* speed-fp32/tools/restic: it differs" in page(results, {}, [])


def test_results_come_back_as_written_but_rounded(tmp_path: Path, results: dict[str, Any]) -> None:
    path = tmp_path / "deep" / "results.json"
    results["cases"]["start"] = {"seconds": [0.123456789]}
    write_results(path, results)
    assert read_results(path)["cases"]["start"] == {"seconds": [0.123457]}
    assert list(path.parent.iterdir()) == [path]
    path.write_text('{"schema": "other"}')
    with pytest.raises(ValueError, match="not a results file"):
        read_results(path)


def test_what_plots_show(results: dict[str, Any]) -> None:
    bars = speed_bars(results, "speed-fp32", "save")
    assert [who for who, _ in bars][-1] == "holdfast API"
    assert [value for _, value in bars] == sorted(value for _, value in bars)
    assert speed_bars(results, "speed-bf16", "save") == []
    assert stored_lines(results, "bf16")["holdfast"] == [("fresh", 0.8), ("+1", 0.3), ("+10", 0.3), ("+100", 0.3)]


def test_plots_are_drawn_alike_twice(tmp_path: Path, results: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    write_results(tmp_path / "results.json", results)
    for name in ("one", "two"):
        command = [sys.executable, "-m", "benchmarks.report", str(tmp_path / "results.json"), "--docs"]
        subprocess.run([*command, str(tmp_path / name)], check=True, cwd=Path(__file__).parents[3])
    drawn = sorted((tmp_path / "one/benchmarks").iterdir())
    assert {path.name for path in drawn} >= {"save-fp32.svg", "stored-bf16.svg", "linear.svg"}
    assert "save-bf16.svg" not in {path.name for path in drawn}
    for path in drawn:
        assert path.read_bytes() == (tmp_path / "two/benchmarks" / path.name).read_bytes()
        assert b"fill: #ffffff" in path.read_bytes()  # white, whatever the viewer's background
    assert json.loads((tmp_path / "results.json").read_text())["plan"] == "quick"
