"""One asset: how it stands, its snapshots, where they lie and were read back, where its bytes went, its curves."""

from __future__ import annotations

import math
from collections import OrderedDict
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.control.service.reading.board import board_of
from holdfast.control.service.reading.crediting import drills_of
from holdfast.control.service.reading.keeping import kept
from holdfast.control.service.reading.recoverable import reachable, steps_at
from holdfast.control.service.reading.shapes import (
    Bound,
    Curve,
    Dot,
    Freshness,
    Page,
    Problem,
    Time,
    bound_of,
    clipped,
    time_of,
)
from holdfast.errors import HoldfastError, NotFoundError

if TYPE_CHECKING:
    from holdfast.catalog.asking import AssetKnown
    from holdfast.control.service.context import Service
    from holdfast.vault.format.records import Root
    from holdfast.vault.handle import Handle

__all__ = ["ArrivalShown", "AssetPage", "IncidentOfSite", "Mechanism", "RunOfAsset", "SavedShown", "SnapshotShown"]
__all__ += ["asset_page"]

_NEWEST: Final = 60
_NORMS: Final = 16
_TENSORS_MAX: Final = 200_000
_MEMORY: Final = 4096
_FRESH_S: Final = 20.0


class SnapshotShown(msgspec.Struct, frozen=True, kw_only=True):
    """`stores`: where it lies; `proven`: where a machine read it back."""

    id: str
    content: Time
    step: int | None
    bytes: int
    verdict: str
    stores: list[str]
    proven: list[str]


class ArrivalShown(msgspec.Struct, frozen=True, kw_only=True):
    """What a store has of it. `proven`: when something of it was last read back there."""

    store: str
    site: str
    snapshots: int
    newest: Time | None
    proven: Time | None
    problem: str


class Mechanism(msgspec.Struct, frozen=True, kw_only=True):
    """Of a snapshot: so many of its bytes are kept by this means, and take so much. See docs/storage.md."""

    name: str
    bytes: int
    stored: int


class SavedShown(msgspec.Struct, frozen=True, kw_only=True):
    """What saving a snapshot took: `bytes` in, `new` of them not known before, `stored` written."""

    id: str
    content: Time
    step: int | None
    bytes: int
    stored: int
    mechanisms: list[Mechanism]


class RunOfAsset(msgspec.Struct, frozen=True, kw_only=True):
    """A recovery or a rehearsal that it was part of."""

    run: str
    state: str
    begun: Time
    ended: Time | None
    site: str
    isolated: bool


class IncidentOfSite(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a site where it lies."""

    site: str
    condition: str
    at: Time
    reason: str


class AssetPage(Page, frozen=True, kw_only=True):
    """`rpo`, `rto` null: it is not declared. `recoverable`: as on the first page. `saved`: of the newest snapshots,
    oldest first; `mechanisms`: of the newest. `curves`: exposure, and what the training said of itself (loss, norms).
    """

    asset: str
    declared: bool
    kind: str
    home: str
    state: str
    rpo: Bound | None
    rto: Bound | None
    excluded: str
    point: Time | None
    point_step: int | None
    point_store: str
    if_lost: str
    total: int
    arrivals: list[ArrivalShown]
    snapshots: list[SnapshotShown]
    saved: list[SavedShown]
    curves: list[Curve]
    runs: list[RunOfAsset]
    incidents: list[IncidentOfSite]
    freshness: list[Freshness]
    vault_problem: Problem | None


class _FromVault(msgspec.Struct, frozen=True, kw_only=True):
    """`losses`: metric → points. `norms`: of the newest few."""

    saved: list[SavedShown]
    curves: list[Curve]


def asset_page(service: Service, name: str) -> AssetPage:
    """Raises NotFoundError for an asset that nobody knows, and what asking the catalog raises."""
    from holdfast.catalog.asking import asset_known

    board = board_of(service)
    now = service.clock.now_ns()
    with service.catalog() as connection:
        known = asset_known(connection, name, now, _NEWEST, drills_of(service).joined)
        reach = reachable(connection, now, [name]).get(name)
        point = None if reach is None or reach.content is None else (name, reach.content)
        step = steps_at(connection, [point]).get(point, ("", None))[1] if point is not None else None
    with suppress(HoldfastError):  # then the curve of its exposure is missing, and `freshness` says why
        board.judged()
    nothing = _FromVault(saved=[], curves=[])
    told = kept(service, f"asset {name}", lambda: _from_vault(service, name), nothing, seconds=_FRESH_S, wait=2.5)
    standing = known.standing
    return AssetPage(
        organisation=service.organisation,
        at=time_of(now) or "",
        asset=name,
        declared=known.declared,
        kind=known.kind,
        home=known.home,
        state="NOT_MEASURED" if standing is None else standing.state.value,
        rpo=None if standing is None else bound_of(standing.rpo),
        rto=None if standing is None else bound_of(standing.rto),
        excluded="" if standing is None else clipped(standing.excluded),
        point=None if reach is None else time_of(reach.content),
        point_step=step,
        point_store="" if reach is None else reach.store,
        if_lost="" if reach is None else reach.lost,
        total=known.total,
        arrivals=_arrivals(known),
        snapshots=_snapshots(known),
        saved=told.value.saved,
        curves=[_exposure(service, name, known), *told.value.curves],
        runs=[
            RunOfAsset(
                run=one.id,
                state=one.verdict or "running",
                begun=time_of(one.begun) or "",
                ended=time_of(one.ended),
                site=one.site,
                isolated=one.isolated,
            )
            for one in known.runs[:20]
        ],
        incidents=[
            IncidentOfSite(site=site, condition=condition, at=time_of(at) or "", reason=clipped(reason))
            for site, condition, at, reason in known.incidents
        ],
        freshness=board.freshness(),
        vault_problem=told.problem,
    )


def _arrivals(known: AssetKnown) -> list[ArrivalShown]:
    return [
        ArrivalShown(
            store=one.store,
            site=one.site,
            snapshots=one.snapshots,
            newest=time_of(one.content),
            proven=time_of(one.proven),
            problem=clipped(one.problem),
        )
        for one in known.arrivals
    ]


def _snapshots(known: AssetKnown) -> list[SnapshotShown]:
    return [
        SnapshotShown(
            id=one.id,
            content=time_of(one.content) or "",
            step=one.step,
            bytes=one.bytes,
            verdict=one.verdict,
            stores=list(one.stores),
            proven=list(one.proven),
        )
        for one in known.snapshots
    ]


def _exposure(service: Service, name: str, known: AssetKnown) -> Curve:
    """Of rounds of `site sync` that this machine saw, and of the board's own samples."""
    from holdfast.control.sites.exposed import exposure_histories

    points: dict[int, float | None] = dict(board_of(service).series(name))
    since = service.clock.now_ns() - 7 * 86_400 * 10**9
    with suppress(HoldfastError, OSError):  # nothing was seen here: the samples alone are shown
        for history in exposure_histories(service.sites(), [name], since_ns=since):
            points |= {one.at: one.seconds if one.measured else None for one in history.points}
    limit = None if known.standing is None else known.standing.rpo.target
    dots = [Dot(at=time_of(at) or "", value=points[at]) for at in sorted(points)]
    return Curve(name="Exposure", unit="seconds", dots=_thinned(dots), limit=limit)


def _thinned(dots: list[Dot], most: int = 300) -> list[Dot]:
    every = max(1, len(dots) // most)
    return dots if every == 1 else [*dots[::every], dots[-1]]


def _from_vault(service: Service, name: str) -> _FromVault:
    vault = service.vault()
    roots = [one.root for one in vault.snapshots(name) if one.root is not None]
    if not roots:
        raise NotFoundError(f"the vault that answers has no snapshot of {name}")
    newest = roots[-_NEWEST:]
    losses: dict[str, list[Dot]] = {}
    for root in newest:
        for metric, value in _metrics(root).items():
            losses.setdefault(metric, []).append(Dot(at=time_of(root.content) or "", value=value))
    curves = [Curve(name=clipped(metric, 60), unit="", dots=dots) for metric, dots in sorted(losses.items())[:4]]
    norms = [Dot(at=time_of(root.content) or "", value=_norm(vault.handle, root)) for root in newest[-_NORMS:]]
    if any(dot.value is not None for dot in norms):
        curves.append(Curve(name="Norm of all tensors (L2)", unit="", dots=norms))
    return _FromVault(saved=[_saved(root) for root in newest], curves=curves)


def _metrics(root: Root) -> dict[str, float]:
    """Metadata of a snapshot that are finite numbers: what a framework's state said, or whoever saved it."""
    found = {}
    for name, text in root.meta.items():
        try:
            value = float(text)
        except ValueError:
            continue
        if math.isfinite(value) and any(
            word in name.lower() for word in ("loss", "grad_norm", "accuracy", "perplexity")
        ):
            found[name] = value
    return found


def _saved(root: Root) -> SavedShown:
    from holdfast.vault.codecs import Codec

    stats = root.stats
    found = [
        Mechanism(name="deduplicated", bytes=stats.get("dedup", 0), stored=0),
        Mechanism(name="hole", bytes=stats.get("hole", 0), stored=0),
    ]
    for codec in Codec:
        word = codec.name.lower()
        found.append(Mechanism(name=word, bytes=stats.get(f"raw_{word}", 0), stored=stats.get(f"stored_{word}", 0)))
    return SavedShown(
        id=root.id,
        content=time_of(root.content) or "",
        step=root.step,
        bytes=stats.get("raw", 0),
        stored=stats.get("stored", 0),
        mechanisms=[one for one in found if one.bytes],
    )


_norms: OrderedDict[str, float | None] = OrderedDict()
_lock = Lock()


def _norm(handle: Handle, root: Root) -> float | None:
    """L2 over all tensors, from the manifests: a snapshot never changes, so it is worked out once."""
    from holdfast.vault.snapshots.finding import read_parts

    key = f"{handle.keys.vault.hex()} {root.id}"
    with _lock:
        if key in _norms:
            return _norms[key]
    total, tensors = 0.0, 0
    try:
        for part in read_parts(handle, root):
            for entry in part.entries:
                for tensor in entry.tensors[: _TENSORS_MAX - tensors]:
                    tensors += 1
                    total += (tensor.norm or 0.0) ** 2
    except HoldfastError:
        return None  # damaged, or given up: not measured, and asked again the next time
    except OverflowError:
        total = math.inf
    norm = math.sqrt(total) if tensors and math.isfinite(total) else None
    with _lock:
        _norms[key] = norm
        while len(_norms) > _MEMORY:
            _norms.popitem(last=False)
    return norm
