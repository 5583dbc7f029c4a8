"""Which version of the data: from DVC, lakeFS or Hugging Face where they know it, else from the content itself."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from blake3 import blake3

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import DamageError, FailedError, NotFoundError, UsageError
from holdfast.training.circumstances.model import Dataset
from holdfast.training.circumstances.scrubbing import scrubbed

__all__ = ["dataset_version", "dvc_outputs", "CONTENT_BYTES", "CONTENT_SECONDS"]

CONTENT_BYTES = 8 << 30  # more is told by names, sizes and times
CONTENT_SECONDS = 30.0
_YAML_BYTES = 1 << 20
_FILES_MOST = 5_000_000
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BLOCK = 8 << 20


def dataset_version(
    what: Any,
    *,
    content_bytes: int = CONTENT_BYTES,
    content_seconds: float = CONTENT_SECONDS,
    clock: Clock = SYSTEM_CLOCK,
) -> Dataset:
    """The version of a dataset, named in one of these ways:

    * a path: by DVC where `PATH.dvc` or a `dvc.lock` above it knows it, else by its content. Data of more than
      `content_bytes`, or that take longer than `content_seconds` to read, by names, sizes and times;
    * `lakefs://REPOSITORY/REF/PATH`: the reference, pinned if it is a commit;
    * `hf://datasets/NAMESPACE/NAME@REVISION`, or a `datasets.Dataset`, by its fingerprint;
    * `{"name": …, "version": …}`: as stated; a `Dataset` of ours is taken as it is.

    Raises UsageError, NotFoundError, DamageError (a file of DVC cannot be read), FailedError.
    """
    if isinstance(what, Dataset):
        return what
    if isinstance(what, str) and what.startswith("lakefs://"):
        return _of_lakefs(what)
    if isinstance(what, str) and what.startswith("hf://"):
        return _of_hub(what)
    if isinstance(what, str) and "://" in what:
        raise UsageError(
            f"{scrubbed(what)} is no address whose version can be asked for",
            hint='a path, lakefs://…, hf://…, or {"name": …, "version": …}',
        )
    if isinstance(what, (str, os.PathLike)):
        path = Path(what)
        return _of_dvc(path) or _of_content(path, content_bytes, content_seconds, clock)
    if isinstance(what, Mapping) and {"name", "version"} <= what.keys():
        return Dataset(kind="stated", location=scrubbed(str(what["name"])), version=scrubbed(str(what["version"])))
    fingerprint = getattr(what, "_fingerprint", None)
    if isinstance(fingerprint, str) and fingerprint:
        return _of_loaded(what, fingerprint)
    raise UsageError(
        f"a {type(what).__name__} names no dataset",
        hint='a path, lakefs://…, hf://…, a datasets.Dataset, or {"name": …, "version": …}',
    )


def _of_lakefs(url: str) -> Dataset:
    repository, _, rest = url.removeprefix("lakefs://").partition("/")
    reference, _, path = rest.partition("/")
    if not repository or not reference:
        raise UsageError(f"{scrubbed(url)} names no version", hint="write lakefs://REPOSITORY/REF/PATH")
    location = scrubbed(f"lakefs://{repository}/{path}")
    return Dataset(kind="lakefs", location=location, version=reference, pinned=bool(_COMMIT.fullmatch(reference)))


def _of_hub(url: str) -> Dataset:
    location, _, revision = url.rpartition("@")
    if not location or not revision:
        raise UsageError(f"{scrubbed(url)} names no revision", hint="write hf://datasets/NAMESPACE/NAME@REVISION")
    return Dataset(
        kind="huggingface", location=scrubbed(location), version=revision, pinned=bool(_COMMIT.fullmatch(revision))
    )


def _of_loaded(what: Any, fingerprint: str) -> Dataset:
    """A `datasets.Dataset`: its fingerprint names the files it was made from, and every transformation since."""
    info = getattr(what, "info", None)
    name = getattr(info, "dataset_name", None) or getattr(info, "builder_name", None) or type(what).__name__
    split = getattr(what, "split", None)
    return Dataset(kind="huggingface", location=f"{name}{f'[{split}]' if split else ''}", version=fingerprint)


def _of_dvc(path: Path) -> Dataset | None:
    """By the file that DVC keeps beside it, or by the lock of the pipeline whose folder, or one above, it lies in."""
    beside = path if path.suffix == ".dvc" else path.with_name(f"{path.name}.dvc")
    if beside.is_file():
        found = dvc_outputs(_small(beside), str(beside))
        name = path.name.removesuffix(".dvc")
        if name in found or len(found) == 1:
            return Dataset(kind="dvc", location=str(path), version=found.get(name) or next(iter(found.values())))
    whole = path.absolute()
    for folder in whole.parents:
        lock = folder / "dvc.lock"
        if lock.is_file():
            version = dvc_outputs(_small(lock), str(lock)).get(whole.relative_to(folder).as_posix())
            return Dataset(kind="dvc", location=str(path), version=version) if version else None
    return None


class _Shallow(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Stops where something is nested more deeply than DVC does: PyYAML takes quadratic time to get there."""

    _deeper = 50

    def get_event(self) -> Any:
        event = super().get_event()
        self._deeper += isinstance(event, yaml.CollectionEndEvent) - isinstance(event, yaml.CollectionStartEvent)
        if self._deeper < 0:
            raise yaml.YAMLError("it is nested too deeply")
        return event


def dvc_outputs(data: bytes, where: str) -> dict[str, str]:
    """Path → version (`md5:…`, a folder's with `.dir` at its end) of the `outs` of a `.dvc` file or a `dvc.lock`.

    Raises DamageError.
    """
    try:
        document = yaml.load(data.decode(), _Shallow)  # noqa: S506 - it is a safe loader
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise DamageError(f"{where} is not what DVC writes: {type(error).__name__}", object_name=where) from error
    if not isinstance(document, dict):
        raise DamageError(f"{where} is not what DVC writes", object_name=where)
    stages = document.get("stages")
    members = list(stages.values()) if isinstance(stages, dict) else [document]
    found: dict[str, str] = {}
    for stage in members:
        outs = stage.get("outs") if isinstance(stage, dict) else None
        for out in outs if isinstance(outs, list) else []:
            if isinstance(out, dict) and isinstance(out.get("path"), str):
                version = _dvc_version(out)
                if version:
                    found[out["path"]] = version
    return found


def _dvc_version(out: dict[Any, Any]) -> str:
    for name in ("md5", "etag", "checksum", "version_id"):
        if isinstance(out.get(name), str) and out[name]:
            return f"{name}:{out[name]}"
    return ""


def _small(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_YAML_BYTES + 1)
    except OSError as error:
        raise FailedError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _YAML_BYTES:
        raise DamageError(f"{path} has more than {_YAML_BYTES >> 20} MiB: DVC writes less", object_name=str(path))
    return data


def _of_content(path: Path, most: int, seconds: float, clock: Clock) -> Dataset:
    if not path.exists():
        raise NotFoundError(f"there is no dataset at {path}", object_name=str(path))
    try:
        files = sorted(_files(path))
        total = sum(status.st_size for _, _, status in files)
        version = _content(files, clock.monotonic() + seconds, clock) if total <= most else None
    except OSError as error:
        raise FailedError(f"the dataset {path} cannot be read: {error.strerror}") from error
    if version is not None:
        return Dataset(kind="content", location=str(path), version=f"blake3:{version}")
    digest = blake3()
    for relative, _, status in files:
        digest.update(b"%d %d %d %s\0" % (len(relative), status.st_size, status.st_mtime_ns, relative))
    return Dataset(kind="listing", location=str(path), version=f"blake3:{digest.hexdigest()}", pinned=False)


def _content(files: list[tuple[bytes, Path, os.stat_result]], until: float, clock: Clock) -> str | None:
    """BLAKE3 over names, sizes and bytes; None where the time is over before all is read."""
    digest = blake3()
    for relative, file, status in files:
        digest.update(b"%d %d %s\0" % (len(relative), status.st_size, relative))
        with file.open("rb") as opened:
            while block := opened.read(_BLOCK):
                digest.update(block)
                if clock.monotonic() > until:
                    return None
    return digest.hexdigest()


def _files(path: Path) -> Iterator[tuple[bytes, Path, os.stat_result]]:
    """(path from the top, path, status) of each regular file; links to files count as what they lead to."""
    if path.is_file():
        yield os.fsencode(path.name), path, path.stat()
        return
    seen = 0
    for folder, names, files in os.walk(path):
        names[:] = sorted(name for name in names if name not in (".git", ".dvc"))
        for name in files:
            file = Path(folder, name)
            status = file.stat()
            if stat.S_ISREG(status.st_mode):
                seen += 1
                if seen > _FILES_MOST:
                    raise FailedError(f"{path} has more than {_FILES_MOST:,} files", hint="state its version instead")
                yield os.fsencode(file.relative_to(path)), file, status
