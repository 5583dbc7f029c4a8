"""What a server does for commands with `--server`: the same verbs, giving the same records (docs/api.md).

The API is made from this table by `holdfast.web.api.verbs`; clients read the same one.
"""

from __future__ import annotations

from functools import cache

from holdfast.control.service.operations import Operation

__all__ = ["operation_named", "operations"]


@cache
def operations() -> tuple[Operation, ...]:
    """All of them."""
    from holdfast.cli.serving.audits import OPERATIONS as of_audit
    from holdfast.cli.serving.catalogs import OPERATIONS as of_catalog
    from holdfast.cli.serving.drills import OPERATIONS as of_drills
    from holdfast.cli.serving.evidence import OPERATIONS as of_evidence
    from holdfast.cli.serving.incidents import OPERATIONS as of_incidents
    from holdfast.cli.serving.looking import OPERATIONS as of_sites
    from holdfast.cli.serving.recoveries import OPERATIONS as of_recoveries
    from holdfast.cli.serving.working import OPERATIONS as of_work

    return (
        *(*of_sites, *of_catalog, *of_recoveries, *of_drills),
        *(*of_incidents, *of_evidence, *of_audit, *of_work),
    )


def operation_named(name: str) -> Operation:
    """Raises KeyError."""
    return next(one for one in operations() if one.name == name)
