"""From a recovery's name in holdfast.yaml, or an asset's, to what is wanted."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from holdfast.config.model import Config, Recovery
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.errors import FailedError, NotFoundError, RefusedError, UsageError
from holdfast.recovery.intents import AsOf, Intent, Newest, Strategy
from holdfast.recovery.runbooks.model import Runbook, parse_runbook

__all__ = ["Wanted", "approvers_needed", "intent_of", "runbook_of"]

_RUNBOOK_MAX: Final = 1 << 20


class Wanted(NamedTuple):
    """What a person asks for. `name`: of a recovery, or of an asset. `to`: empty: where it is declared to come back.

    `as_of`: ns since the epoch; None: the newest. `target`: absolute, empty: said when it is run. `isolated`: a
    rehearsal into `target`. `fault_at`, `noticed_at`: ns since the epoch, None where nobody can tell.
    """

    name: str
    to: str = ""
    as_of: int | None = None
    graceful: bool = False
    isolated: bool = False
    target: str = ""
    reason: str = ""
    fault_at: int | None = None
    noticed_at: int | None = None


def intent_of(sites: DeclaredSites, wanted: Wanted) -> tuple[Intent, list[DeclaredAsset]]:
    """Raises NotFoundError for a name that is neither a recovery's nor an asset's; UsageError, RefusedError."""
    declared = sites.config.recoveries.get(wanted.name)
    names: tuple[str, ...]
    to: tuple[str, ...] = ()
    strategy = Strategy.BACKUP_AND_RESTORE
    if declared is None:
        names = (sites.asset(wanted.name).name,) if wanted.name in sites.assets else ()
        if not names:
            known = ", ".join([*sites.config.recoveries, *sites.assets]) or "nothing"
            raise NotFoundError(
                f"{sites.loaded.path} declares no recovery and no asset {wanted.name!r}", hint=f"it declares {known}"
            )
    else:
        names = (declared.asset,) if declared.asset else sites.config.groups[declared.group].assets
        strategy, to = Strategy(declared.strategy), declared.to
    assets = [sites.asset(name) for name in names]
    if wanted.to:
        sites.require_site(wanted.to)
        to = (wanted.to,)
    elif not to:
        to = assets[0].placement.sites
    if not wanted.isolated:
        to = _elsewhere(to, assets)
    intent = Intent(
        name=wanted.name,
        assets=tuple(names),
        to=to,
        strategy=strategy,
        point=Newest() if wanted.as_of is None else AsOf(wanted.as_of),
        graceful=wanted.graceful,
        isolated=wanted.isolated,
        reason=wanted.reason,
        fault_at=wanted.fault_at,
        noticed_at=wanted.noticed_at,
    )
    intent = msgspec.structs.replace(intent, approvers=approvers_needed(sites.config, intent))
    intent.require_past(sites.clock.now_ns())
    return intent, assets


def approvers_needed(config: Config, intent: Intent) -> int:
    """How many have to agree, by holdfast.yaml: as the recovery of that name says. An asset by itself takes at least
    one, and as many as any recovery that is declared of it: leaving out the name is no way around them.
    """
    if intent.isolated:
        return 0
    declared = config.recoveries.get(intent.name)
    if declared is not None and set(_assets_of(config, declared)) == set(intent.assets):
        return declared.approvers
    wanted = set(intent.assets)
    covering = [one.approvers for one in config.recoveries.values() if wanted & set(_assets_of(config, one))]
    return max([1, *covering])


def _assets_of(config: Config, declared: Recovery) -> tuple[str, ...]:
    return (declared.asset,) if declared.asset else tuple(config.groups[declared.group].assets)


def _elsewhere(to: tuple[str, ...], assets: list[DeclaredAsset]) -> tuple[str, ...]:
    """Without the homes: fencing takes a whole site for lost, so that nothing could come back there."""
    from holdfast.control.recovering.probing import home_of

    homes = {home_of(asset) for asset in assets}
    left = tuple(site for site in to if site not in homes)
    if not left:
        raise RefusedError(
            f"{', '.join(to)} is the home, and a recovery fences it",
            hint="`holdfast restore` brings data back there; --isolated DIR rehearses; --to names another site",
        )
    return left


def runbook_of(sites: DeclaredSites, name: str) -> tuple[Runbook, str] | None:
    """The file that `steps` of a recovery names, beside holdfast.yaml. Raises UsageError, FailedError."""
    declared = sites.config.recoveries.get(name)
    if declared is None or not declared.steps:
        return None
    path = sites.loaded.folder / declared.steps
    try:
        with path.open("rb") as file:
            data = file.read(_RUNBOOK_MAX + 1)
    except OSError as error:
        raise FailedError(f"the runbook {path} cannot be read ({error.strerror})", object_name=str(path)) from error
    if len(data) > _RUNBOOK_MAX:
        raise UsageError(f"{path} is larger than any runbook")
    try:
        return parse_runbook(data, str(path)), str(path)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}") from error
