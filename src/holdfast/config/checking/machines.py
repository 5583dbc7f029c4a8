"""Machines of sites and services of assets: what cannot be got, started or looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from holdfast.config.checking.subject import Said, Subject
from holdfast.config.compute_model import BUILT_KINDS, Compute, Health, Service, Traffic
from holdfast.config.reading import Path
from holdfast.config.values import nearest

__all__ = ["PLACES", "check_machines"]

PLACES: Final = ("target", "run", "site", "asset", "machines", "machine")
_PLACE: Final = re.compile(r"\{([a-z_]+)\}")
_SLURM_ONLY: Final = ("partition", "gres", "account", "qos")


def check_machines(subject: Subject) -> Iterator[Said]:
    """Pools of kinds that are not built, or of no size; services on shapes that no site has."""
    shapes: set[str] = set()
    for name, site in subject.config.sites.items():
        path: Path = ("sites", name, "compute")
        seen: set[str] = set()
        for number, pool in enumerate(site.compute):
            yield from _pool(pool, (*path, number))
            if pool.shape in seen:
                yield Said((*path, number), f"`{name}` has two pools of the shape {pool.shape}")
            seen.add(pool.shape)
        shapes |= seen
    for name, asset in subject.config.assets.items():
        if asset.service is not None:
            yield from _service(subject, asset.service, shapes, ("assets", name, "service"))
            if not asset.path and not asset.watch:
                yield Said(
                    ("assets", name, "service"), f"`{name}` has a service, and neither `path` nor `watch`: its data"
                )


def _pool(pool: Compute, path: Path) -> Iterator[Said]:
    if pool.kind not in BUILT_KINDS:
        yield Said(path, f"machines of the kind {pool.kind} are not built: docs/compute.md says what that needs")
        return
    if pool.kind == "local" and not pool.machines:
        yield Said(path, "`machines` of the kind local are at least 1: slots of this machine")
    if pool.kind == "slurm" and not pool.partition:
        yield Said(path, "machines of the kind slurm are of a `partition`")
    if pool.machines and pool.ready > pool.machines:
        yield Said(path, f"{pool.ready} cannot stand `ready` of {pool.machines} `machines`")
    if pool.gpus is not None and pool.gpus_of_gres not in (None, pool.gpus):
        yield Said(
            (*path, "gpus"), f"`gres` asks for {pool.gpus_of_gres} GPUs of a machine, and `gpus` says {pool.gpus}"
        )
    for field in _SLURM_ONLY:
        if pool.kind != "slurm" and getattr(pool, field):
            yield Said(path, f"`{field}` is of the kind slurm, and this is {pool.kind}")


def _service(subject: Subject, service: Service, shapes: set[str], path: Path) -> Iterator[Said]:
    if not service.command:
        yield Said((*path, "command"), "a service has a command")
    if not service.shapes:
        yield Said((*path, "shapes"), "a service runs on at least one shape of machines")
    for number, shape in enumerate(service.shapes):
        if shape not in shapes and not subject.is_torn("sites"):
            near = nearest(shape, shapes) or f": they have {', '.join(sorted(shapes)) or 'none'}"
            yield Said((*path, "shapes", number), f"no site has machines of the shape {shape}{near}")
    if service.least > service.machines:
        yield Said((*path, "least"), f"`least` is {service.least}, and more than `machines`, {service.machines}")
    texts = {"command": service.command, "stop": service.stop.command, "health": service.health.command}
    texts["folder"] = (service.folder,)
    if service.traffic is not None:
        texts["traffic"] = (*service.traffic.command, *service.traffic.show)
        yield from _traffic(service.traffic, (*path, "traffic"))
    for field, several in texts.items():
        for place in (found for one in several for found in _PLACE.findall(one)):
            if place not in PLACES:
                known = ", ".join(f"{{{one}}}" for one in PLACES)
                yield Said((*path, field), f"{{{place}}} is not filled in; what is: {known}")
    yield from _health(service.health, (*path, "health"))
    for site in service.standby:
        if site not in subject.named("sites"):
            near = nearest(site, subject.named("sites"))
            yield Said((*path, "standby", site), f"no site is called `{site}`{near}")


def _health(health: Health, path: Path) -> Iterator[Said]:
    if sum(map(bool, (health.url, health.command, health.heartbeat))) > 1:
        yield Said(path, "health is looked at by one of `url`, `command` and `heartbeat`")
    if health.url and not re.fullmatch(r"https?://[^\s@]+", health.url):
        yield Said((*path, "url"), "this is no URL of the kind http or https without a password in it")
    for field in ("every", "within", "fresh"):
        if getattr(health, field) == 0:
            yield Said((*path, field), f"`{field}` is more than no time at all")


def _traffic(traffic: Traffic, path: Path) -> Iterator[Said]:
    if sum(map(bool, (traffic.file, traffic.command, traffic.webhook))) != 1:
        yield Said(path, "traffic is sent by one of `file`, `command` and `webhook`")
    if traffic.show and not traffic.command:
        yield Said((*path, "show"), "`show` belongs to a `command`")
    if bool(traffic.secret) != bool(traffic.webhook):
        yield Said(path, "a `webhook` has a `secret`, with which it is signed, and nothing else has one")
    if traffic.webhook and not re.fullmatch(r"https?://[^\s@]+", traffic.webhook):
        yield Said((*path, "webhook"), "this is no URL of the kind http or https without a password in it")
