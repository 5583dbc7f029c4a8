"""The plots of the page, as SVG on white, which can be read in dark and in light viewers. Needs Matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .figures import Results, case, limit, speed, stored
from .scaling import by_size
from .targets import LIBRARY

__all__ = ["draw_all", "speed_bars", "stored_lines"]

_OWN, _PEER, _LIMIT = "#0b6e4f", "#9aa5b1", "#c44536"
_GROWTH = {"fresh": 0, "+1": 1, "+10": 2, "+100": 3}


def draw_all(results: Results, folder: Path) -> list[str]:
    """Draw what the results allow; the names of the files. Raises ImportError without Matplotlib."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "holdfast", "svg.fonttype": "path", "font.size": 9})
    folder.mkdir(parents=True, exist_ok=True)
    plots: dict[str, Callable[[Any], bool]] = {
        "save-fp32": lambda axes: _bars(axes, results, "speed-fp32", "save", "fp32 full state: fresh save"),
        "save-bf16": lambda axes: _bars(axes, results, "speed-bf16", "save", "bf16 weights: fresh save"),
        "restore-fp32": lambda axes: _bars(axes, results, "speed-fp32", "restore", "fp32 full state: restore"),
        "stored-fp32": lambda axes: _lines(axes, results, "fp32", "fp32 full state"),
        "stored-bf16": lambda axes: _lines(axes, results, "bf16", "bf16 weights"),
        "linear": lambda axes: _linear(axes, results),
    }
    return [f"{name}.svg" for name, draw in plots.items() if _draw(folder / f"{name}.svg", draw)]


def _draw(path: Path, draw: Callable[[Any], bool]) -> bool:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    if not draw(axes):
        path.unlink(missing_ok=True)
        return False
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    return True


def speed_bars(results: Results, name: str, operation: str) -> list[tuple[str, float]]:
    """Tool and MB/s, the slowest first."""
    found = case(results, name)
    whos = found["tools"] if found else []
    speeds = [(who, value / 1e6) for who in whos if (value := speed(results, name, who, operation)) is not None]
    return sorted(speeds, key=lambda pair: pair[1])


def _bars(axes: Any, results: Results, name: str, operation: str, title: str) -> bool:
    bars = speed_bars(results, name, operation)
    if not bars:
        return False
    colours = [_OWN if who.startswith("holdfast") else _PEER for who, _ in bars]
    drawn = axes.barh([who for who, _ in bars], [value for _, value in bars], color=colours)
    axes.bar_label(drawn, fmt="{:,.0f}", padding=3)
    axes.set_xscale("log")
    axes.set_xlabel("MB of source per second (logarithmic)")
    axes.set_title(title, loc="left")
    for each, style in (("memcpy", "--"), ("BLAKE3, 2 threads", ":")):
        if (value := limit(results, each)) is not None:
            axes.axvline(value / 1e6, color=_LIMIT, linestyle=style, linewidth=1.2, label=f"limit: {each}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, loc="lower right")
    return True


def stored_lines(results: Results, kind: str) -> dict[str, list[tuple[str, float]]]:
    """For each tool the stored share of a fresh state and of later ones."""
    found = case(results, "ratios")
    lines: dict[str, list[tuple[str, float]]] = {}
    for who in found[kind]["+1"]["tools"] if found else []:
        shares = {"fresh": stored(found[kind]["+1"], who)} if found else {}
        shares |= (
            {step: stored(found[kind][step], who, "stored_next") for step in ("+1", "+10", "+100")} if found else {}
        )
        lines[who] = [(at, share) for at, share in shares.items() if share is not None]
    return lines


def _lines(axes: Any, results: Results, kind: str, title: str) -> bool:
    found, lines = case(results, "ratios"), stored_lines(results, kind)
    if found is None or not lines:
        return False
    for number, (who, points) in enumerate(lines.items()):
        own = who == LIBRARY
        colour = _OWN if own else ("#5b6b7b", "#a06cd5", "#d08c00", "#3a86c8", "#777777")[number % 5]
        axes.plot(
            [_GROWTH[at] for at, _ in points],
            [share for _, share in points],
            marker="o",
            color=colour,
            linewidth=2.5 if own else 1.2,
            label=who,
        )
    bound = found[kind]["entropy"]["bound"] / found[kind]["entropy"]["bytes"]
    axes.axhline(bound, color=_LIMIT, linestyle=":", linewidth=1, label="order-0 bound, fresh")
    axes.set_xticks(list(_GROWTH.values()), list(_GROWTH))
    axes.set_ylim(0, 1.1)
    axes.set_ylabel("stored / source")
    axes.set_xlabel("training steps after the first snapshot")
    axes.set_title(title, loc="left")
    axes.legend(fontsize=8, ncols=2)
    return True


def _linear(axes: Any, results: Results) -> bool:
    points = by_size(results)
    if len(points) < 2:
        return False
    sizes = [size / 2**30 for size in points]
    axes.plot(sizes, [seconds for seconds, _ in points.values()], marker="o", color=_OWN, label="seconds (left)")
    axes.set_xlabel("GiB saved")
    axes.set_ylabel("seconds")
    axes.set_xlim(0)
    axes.set_ylim(0)
    memory = axes.twinx()
    memory.plot(
        sizes, [peak / 2**20 for _, peak in points.values()], marker="s", color=_LIMIT, label="peak MiB (right)"
    )
    memory.set_ylabel("MiB of peak memory")
    memory.set_ylim(0)
    axes.legend(handles=[*axes.get_lines(), *memory.get_lines()], fontsize=8)
    axes.set_title("one save of growing size", loc="left")
    return True
