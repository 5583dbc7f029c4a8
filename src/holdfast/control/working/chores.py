"""What workers do besides recoveries: copies that are missing, the catalog, evidence."""

from __future__ import annotations

from holdfast.control.workflows import Value
from holdfast.control.working.jobs import Job
from holdfast.errors import StoreUnreachableError

__all__ = ["catalog_update", "evidence_write", "site_sync"]


def site_sync(job: Job) -> dict[str, Value]:
    """One round of following. Raises StoreUnreachableError while some store does not have what it owes."""
    from holdfast.control.sites.following import SiteFollower

    job.sites.learn()
    wanted = job.text("asset")
    assets = [job.sites.asset(wanted)] if wanted else list(job.sites.assets.values())
    done = SiteFollower(job.sites, assets).run_round()
    facts: dict[str, Value] = {"settled": done.settled, "unsound": ", ".join(done.unsound)}
    if not done.settled and not done.unsound:
        raise StoreUnreachableError("some store does not have what it owes yet", hint="`holdfast site status` names it")
    return facts


def catalog_update(job: Job) -> dict[str, Value]:
    """Take in what is new. A store that does not answer is said, and fails nothing: its rows are marked."""
    from holdfast.control.cataloguing.filling import Cataloguing

    job.sites.learn()
    done = Cataloguing(job.sites).update()
    silent = [one.store for one in done.stores if one.problem]
    return {"stores": len(done.stores), "silent": ", ".join(silent), "read": sum(one.read for one in done.stores)}


def evidence_write(job: Job) -> dict[str, Value]:
    """Evidence of a run that has ended, at the stores of its journal: written once, whoever writes it."""
    from holdfast.control.evidencing.writing import write_evidence_of

    job.sites.learn()
    write_evidence_of(job.sites, job.text("run"))
    return {"run": job.text("run")}
