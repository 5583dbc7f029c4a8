"""Runs at the declared stores that drills began: ended, with nothing of them left in effect, though the drill died."""

from __future__ import annotations

from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import HoldfastError, NotFoundError
from holdfast.recovery.journal.entries import Deed

__all__ = ["take_back"]


def take_back(sites: DeclaredSites, run: str) -> str:
    """See to it that the run of a drill has ended: one that has not is stopped, and what it did is taken back.

    Returns why it could not be; empty: it has ended, or it never began. Only runs that rehearse are touched.
    """
    from holdfast.control.recovering.actors.computing import give_back_all
    from holdfast.control.recovering.actors.services import Services

    try:
        recoveries = Recoveries(sites)
        try:
            status = recoveries.status(run)
        except NotFoundError:
            return ""
        if not status.plan.intent.isolated:
            return "it is no rehearsal"
        if not status.state.owner:
            return ""
        if not status.state.verdict:
            recoveries.say(run, Deed.STOPPED, reason="the drill that began it is gone")
            status = recoveries.adopt(run, "", lambda plan, progress: None)
        # Also of a run that ended: who drove it may have died before its machines were given back.
        give_back_all(Services(sites), status.plan, run, sites.progress)
    except HoldfastError as error:
        return f"{error.message}; `holdfast recover status {run}`"
    return "" if status.state.verdict else "it goes on"
