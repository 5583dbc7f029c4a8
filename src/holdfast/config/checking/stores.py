"""Stores: what their URLs, options and credentials say, and whether two of them are one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from holdfast.config.checking.subject import Said, Subject
from holdfast.config.credentials import credential_names
from holdfast.config.model import StoreSpec
from holdfast.config.reading import Path
from holdfast.config.values import looks_secret, nearest
from holdfast.config.words import Reference
from holdfast.errors import UsageError
from holdfast.stores.cloud_options import option_names, sort_options
from holdfast.stores.urls import CLOUDS, FOLDER, StoreUrl, parse_store_url

__all__ = ["check_stores"]

_READ_ELSEWHERE = "root_certificate"  # the name of a file, which is read where the store is opened
Options = Mapping[str, str | Reference]


def check_stores(subject: Subject) -> Iterator[Said]:
    """Each store by itself, then all beside each other."""
    places: list[tuple[Path, StoreUrl, str]] = []
    for name, site in subject.config.sites.items():
        if not site.stores and not subject.is_torn("sites", name, "stores"):
            yield Said(("sites", name, "stores"), "a site needs a store: `hot`, `warm` or `cold`")
        for tier, store in site.stores.items():
            path: Path = ("sites", name, "stores", tier.value)
            yield from _store(store, path)
            found, problem = _parsed(store.url)
            if found is not None and not problem:
                places.append(((*path, "url"), found, _endpoint(store.options)))
    yield from _twice(places)


def _store(store: StoreSpec, path: Path) -> Iterator[Said]:
    found, problem = _parsed(store.url)
    if found is None or problem:
        yield Said((*path, "url"), problem)
    if found is not None:
        yield from _options(found.kind, store.options, (*path, "options"))
        yield from _credentials(found.kind, store.credentials, (*path, "credentials"))
        if store.lock is not None and found.kind not in CLOUDS:
            yield Said((*path, "lock"), f"a {found.kind} cannot lock what it holds: only s3, gs and az can")
    if store.lock == 0:
        yield Said((*path, "lock"), "a lock of no time protects nothing: leave `lock` out")
    yield from _paths(store, found, path)


def _paths(store: StoreSpec, found: StoreUrl | None, path: Path) -> Iterator[Said]:
    seen: list[tuple[str, Options, str]] = []
    for number, one in enumerate(store.paths):
        here: Path = (*path, "paths", number)
        if one.url:
            other, problem = _parsed(one.url)
            if other is None or problem:
                yield Said((*here, "url"), problem)
            elif found is not None and other.kind != found.kind:
                yield Said((*here, "url"), f"this is a {other.kind} store, and the store itself is a {found.kind} one")
        if found is not None:
            yield from _options(found.kind, one.options, (*here, "options"))
        way = (one.url or store.url, store.options | one.options, one.link or store.link)
        if way in seen:
            yield Said(here, "this path is as one above it")
        seen.append(way)


def _parsed(url: str) -> tuple[StoreUrl | None, str]:
    """The parts of a URL, and what is the matter with it: never the URL itself."""
    try:
        found = parse_store_url(url)
    except UsageError as error:
        return None, error.message
    if found.kind == FOLDER and not os.path.isabs(found.place):  # noqa: PTH117 - a path of any machine
        return found, "a store's folder is written whole, as in file:///folder: relative to what would it be?"
    if looks_secret(url):
        return found, "this URL holds what looks like a secret, which it may not"
    return found, ""


def _options(kind: str, options: Options, path: Path) -> Iterator[Said]:
    if kind not in CLOUDS:
        for name in options:
            yield Said((*path, name), f"a {kind} has no options")
        return
    for name, value in options.items():
        here = (*path, name)
        if name in credential_names(kind):
            yield Said(here, f"`{name}` is secret: it stands in `credentials`, as ${{NAME}} or file:PATH")
        elif name not in option_names(kind):
            near = nearest(name, option_names(kind)) or f": known are {', '.join(option_names(kind))}"
            yield Said(here, f"{kind} stores have no option `{name[:60]}`{near}")
        elif isinstance(value, str) and looks_secret(value):
            yield Said(here, "this looks like a secret: write where it is, ${NAME} or file:PATH")
    yield from _endpoints(kind, options, path)


def _endpoints(kind: str, options: Options, path: Path) -> Iterator[Said]:
    known = option_names(kind)
    plain = {
        name: value
        for name, value in options.items()
        if isinstance(value, str) and name in known and name != _READ_ELSEWHERE
    }
    if isinstance(options.get("allow_http"), Reference):
        plain.pop("endpoint", None)
    try:
        sort_options(kind, plain)
    except UsageError as error:
        yield Said((*path, "endpoint"), f"{error.message}; {error.hint}" if error.hint else error.message)


def _credentials(kind: str, credentials: Mapping[str, Reference], path: Path) -> Iterator[Said]:
    known = credential_names(kind)
    for name in credentials:
        if name not in known:
            near = nearest(name, known) or (f": known are {', '.join(known)}" if known else "")
            yield Said((*path, name), f"{kind} stores have no credential `{name[:60]}`{near}")


def _endpoint(options: Options) -> str:
    """What tells two buckets of one name apart."""
    return "|".join(str(options.get(name, "")).rstrip("/") for name in ("endpoint", "account_name"))


def _twice(places: list[tuple[Path, StoreUrl, str]]) -> Iterator[Said]:
    seen: dict[tuple[str, ...], Path] = {}
    ordered = sorted(((_parts(url, endpoint), path) for path, url, endpoint in places), key=lambda one: len(one[0]))
    for parts, path in ordered:
        for end in range(3, len(parts) + 1):
            outer = seen.get(parts[:end])
            if outer is not None:
                how = "is the same store as" if end == len(parts) else "lies inside"
                yield Said(path, f"this {how} {outer[1]}/{outer[3]}: a copy beside itself is no copy")
                break
        seen.setdefault(parts, path)


def _parts(url: StoreUrl, endpoint: str) -> tuple[str, ...]:
    """Kind, endpoint, place, and the folders below it: what begins with them lies inside."""
    if url.kind == FOLDER:
        return (url.kind, endpoint, "", *os.path.normpath(url.place).strip("/").split("/"))
    return (url.kind, endpoint, url.place, *(url.prefix.split("/") if url.prefix else []))
