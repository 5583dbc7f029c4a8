"""What the page of sites says of one."""

from __future__ import annotations

from holdfast.config.compute_model import Compute
from holdfast.config.model import Cloud, Site
from holdfast.control.service.reading.sites import machines_of


def test_machines_of_a_site_are_named() -> None:
    site = Site(cloud=Cloud.ONPREM, region="c", jurisdiction="EU", stores={})
    assert machines_of(site) == ""
    machines = (Compute(kind="local", shape="small"), Compute(kind="slurm", shape="h100x8", machines=4))
    with_machines = Site(cloud=Cloud.ONPREM, region="c", jurisdiction="EU", stores={}, compute=machines)
    assert machines_of(with_machines) == "small (local), h100x8 (slurm)"
