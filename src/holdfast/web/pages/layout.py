"""A plan's graph in layers from left to right: each step after all that it waits for, few lines crossing. Pure.

Layers are by the longest path; a line over several layers goes through places of its own in those between; within a
layer steps are ordered by the mean place of their neighbours, forth and back (K. Sugiyama, S. Tagawa, M. Toda, "Methods
for visual understanding of hierarchical system structures", 1981).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from holdfast.control.service.reading.runs import StepShown

__all__ = ["Graph", "Node", "graph_of"]

_WIDE: Final = 222.0
_TALL: Final = 62.0
_ACROSS: Final = 46.0
_DOWN: Final = 18.0
_THIN: Final = 14.0
_SWEEPS: Final = 6
_MARGIN: Final = 6.0


class Node(NamedTuple):
    """A step in its box. `title`: cut to what fits."""

    x: float
    y: float
    width: float
    height: float
    step: StepShown
    title: str


class Graph(NamedTuple):
    """`edges`: `d` of paths."""

    width: float
    height: float
    nodes: list[Node]
    edges: list[str]


def graph_of(steps: Sequence[StepShown]) -> Graph:
    """Of steps in an order in which they can be done, as a plan has them."""
    by_id = {step.id: step for step in steps}
    after = {step.id: [one for one in step.after if one in by_id] for step in steps}
    after = _without_detours(after)
    layer: dict[str, int] = {}
    for step in steps:
        layer[step.id] = max((layer[one] + 1 for one in after[step.id] if one in layer), default=0)
    places, links = _with_bends(after, layer)
    columns = _ordered(places, links)
    return _placed(columns, links, by_id, after)


def _without_detours(after: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """What is waited for anyway, through another step, is not drawn."""
    reached: dict[str, set[str]] = {}
    for name, before in after.items():
        reached[name] = set(before).union(*(reached.get(one, set()) for one in before))
    return {
        name: [one for one in before if not any(one in reached.get(other, set()) for other in before if other != one)]
        for name, before in after.items()
    }


def _with_bends(
    after: Mapping[str, list[str]], layer: Mapping[str, int]
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Places (steps and bends) with their layers, and lines between neighbouring layers."""
    places, links = dict(layer), []
    for name, before in after.items():
        for one in before:
            last = one
            for number in range(layer[one] + 1, layer[name]):
                bend = f"{one}\0{name}\0{number}"
                places[bend] = number
                links.append((last, bend))
                last = bend
            links.append((last, name))
    return places, links


def _ordered(places: Mapping[str, int], links: Sequence[tuple[str, str]]) -> list[list[str]]:
    columns: list[list[str]] = [[] for _ in range(max(places.values(), default=-1) + 1)]
    for name, number in places.items():
        columns[number].append(name)
    left, right = defaultdict(list), defaultdict(list)
    for one, other in links:
        left[other].append(one)
        right[one].append(other)
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        order = range(1, len(columns)) if forth else range(len(columns) - 2, -1, -1)
        for number in order:
            beside = columns[number - 1 if forth else number + 1]
            at = {name: place for place, name in enumerate(beside)}
            near = left if forth else right
            own = {name: place for place, name in enumerate(columns[number])}

            def mean(
                name: str,
                near: Mapping[str, list[str]] = near,
                at: Mapping[str, int] = at,
                own: Mapping[str, int] = own,
            ) -> float:
                found = [at[one] for one in near[name]]
                return sum(found) / len(found) if found else own[name]

            columns[number].sort(key=mean)
    return columns


def _placed(
    columns: Sequence[Sequence[str]],
    links: Sequence[tuple[str, str]],
    by_id: Mapping[str, StepShown],
    after: Mapping[str, list[str]],
) -> Graph:
    def tall(name: str) -> float:
        return _TALL if name in by_id else _THIN

    heights = [sum(tall(name) for name in one) + _DOWN * max(0, len(one) - 1) for one in columns]
    most = max(heights, default=0.0)
    middle: dict[str, float] = {}
    start: dict[str, float] = {}
    for number, column in enumerate(columns):
        y = _MARGIN + (most - heights[number]) / 2
        for name in column:
            middle[name] = y + tall(name) / 2
            start[name] = _MARGIN + number * (_WIDE + _ACROSS)
            y += tall(name) + _DOWN
    before: dict[str, str] = {other: one for one, other in links if "\0" in other}
    ends = [(one, other) for one, other in links if "\0" not in other]
    edges = []
    for one, other in ends:
        path = [other, one]
        while path[-1] in before:
            path.append(before[path[-1]])
        edges.append(_curve(list(reversed(path)), start, middle))
    nodes = [
        Node(start[name], middle[name] - _TALL / 2, _WIDE, _TALL, step, _cut(step.title or name))
        for name, step in by_id.items()
    ]
    width = _MARGIN * 2 + len(columns) * _WIDE + max(0, len(columns) - 1) * _ACROSS
    return Graph(width, most + 2 * _MARGIN, nodes, edges)


def _curve(path: Sequence[str], start: Mapping[str, float], middle: Mapping[str, float]) -> str:
    x, y = start[path[0]] + _WIDE, middle[path[0]]
    said = f"M{x:.1f} {y:.1f}"
    for name in path[1:]:
        to_x, to_y = start[name], middle[name]
        end = to_x - 7 if name == path[-1] else to_x
        half = (end - x) / 2
        said += f" C{x + half:.1f} {y:.1f} {end - half:.1f} {to_y:.1f} {end:.1f} {to_y:.1f}"
        x, y = end, to_y
        if name != path[-1]:
            x = to_x + _WIDE
            said += f" L{x:.1f} {to_y:.1f}"
    return said


def _cut(text: str, most: int = 25) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
