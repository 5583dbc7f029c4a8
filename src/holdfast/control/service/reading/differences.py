"""How two snapshots of an asset differ, by their manifests: no content is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.control.service.reading.keeping import kept
from holdfast.control.service.reading.shapes import Page, Problem, Time, clipped, time_of
from holdfast.errors import UsageError

if TYPE_CHECKING:
    from holdfast.control.service.context import Service
    from holdfast.vault.snapshots.differences import Difference

__all__ = ["DiffPage", "FileDiff", "Side", "TensorDiff", "diff_page"]

_FILES: Final = 200
_TENSORS: Final = 300


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two."""

    id: str
    content: Time
    step: int | None


class FileDiff(msgspec.Struct, frozen=True, kw_only=True):
    """`what`: added, removed, content, mode, time or type; `changed_bytes`: of the new content."""

    path: str
    what: str
    size_before: int
    size_after: int
    changed_bytes: int


class TensorDiff(msgspec.Struct, frozen=True, kw_only=True):
    """`what`: added, removed, shape, dtype or values. Norms are L2, null: unknown; equal norms say nothing."""

    file: str
    name: str
    what: str
    before: str
    after: str
    norm_before: float | None
    norm_after: float | None


class DiffPage(Page, frozen=True, kw_only=True):
    """`files`, `tensors`: the first of `files_total`, `tensors_total`. `facts`: name → (before, after)."""

    asset: str
    before: Side | None
    after: Side | None
    wanted_from: str
    wanted_to: str
    files: list[FileDiff]
    files_total: int
    same_files: int
    tensors: list[TensorDiff]
    tensors_total: int
    facts: dict[str, tuple[str, str]]
    problem: Problem | None


def diff_page(service: Service, asset: str, before: str, after: str) -> DiffPage:
    """`before`, `after`: ids of snapshots, or the beginning of one. Raises UsageError without both."""
    if not before or not after or len(before) > 80 or len(after) > 80:
        raise UsageError("name two snapshots", hint="?from=ID&to=ID, as the page of the asset links them")

    def read() -> Difference:
        vault = service.vault()
        return vault.diff(_within(asset, before), _within(asset, after))

    nothing: Difference | None = None
    told = kept(service, f"diff {asset} {before} {after}", read, nothing, seconds=300.0, wait=6.0)
    found = told.value
    tensors = [] if found is None else [(file.path, one) for file in found.files for one in file.tensors]
    return DiffPage(
        organisation=service.organisation,
        at=time_of(service.clock.now_ns()) or "",
        asset=asset,
        before=None if found is None else _side(found.before),
        after=None if found is None else _side(found.after),
        wanted_from=before,
        wanted_to=after,
        files=[]
        if found is None
        else [
            FileDiff(
                path=clipped(one.path, 400),
                what=one.what,
                size_before=one.size_before,
                size_after=one.size_after,
                changed_bytes=one.changed_bytes,
            )
            for one in found.files[:_FILES]
        ],
        files_total=0 if found is None else len(found.files),
        same_files=0 if found is None else found.same_files,
        tensors=[
            TensorDiff(
                file=clipped(path, 400),
                name=clipped(one.name, 400),
                what=one.what,
                before=clipped(one.before, 200),
                after=clipped(one.after, 200),
                norm_before=one.norm_before,
                norm_after=one.norm_after,
            )
            for path, one in tensors[:_TENSORS]
        ],
        tensors_total=len(tensors),
        facts={}
        if found is None
        else {clipped(k, 200): (clipped(a, 400), clipped(b, 400)) for k, (a, b) in found.facts.items()},
        problem=told.problem,
    )


def _within(asset: str, reference: str) -> str:
    """Only of this asset: the policies were asked about it, and about no other."""
    if not reference.isalnum():
        raise UsageError(f"{clipped(reference, 60)!r} is no id of a snapshot")
    return f"{asset}@{reference}"


def _side(root: object) -> Side:
    from holdfast.vault.format.records import Root

    assert isinstance(root, Root)
    return Side(id=root.id, content=time_of(root.content) or "", step=root.step)
