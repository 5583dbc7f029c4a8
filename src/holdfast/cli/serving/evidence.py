"""Evidence of runs and drills over a server: listed, shown, and all files of one, which the client verifies itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.cli.facts.evidence import list_facts, shown_facts
from holdfast.cli.schemas.evidence import EvidenceList, EvidenceShown
from holdfast.cli.serving.words import RunId
from holdfast.control.authority.acting import acting_as
from holdfast.control.evidencing.reading import export, list_evidence, show
from holdfast.control.service.operations import Asking, Operation

__all__ = ["OPERATIONS", "EvidenceBundle", "ListEvidence", "ShowEvidence"]


class ListEvidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`newest`: only so many."""

    newest: Annotated[int, Meta(ge=1, le=500)] = 20


class ShowEvidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The evidence of a run."""

    run: RunId


class EvidenceBundle(msgspec.Struct, frozen=True, kw_only=True):
    """`files`: name → content in Base64, byte by byte as they are signed. `added`: proofs of entries that came into the
    audit log since it was kept. `log`: what is to be said of the log.
    """

    run: str
    files: dict[str, bytes]
    added: list[str]
    log: str


def _list(asking: Asking, given: ListEvidence) -> EvidenceList:
    with acting_as(asking.principal):
        return list_facts(list_evidence(asking.service.sites(), given.newest))


def _show(asking: Asking, given: ShowEvidence) -> EvidenceShown:
    with acting_as(asking.principal):
        return shown_facts(show(asking.service.sites(), given.run))


def _files(asking: Asking, given: ShowEvidence) -> EvidenceBundle:
    with acting_as(asking.principal), tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "evidence"
        found = export(asking.service.sites(), given.run, place)
        files = {one.relative_to(place).as_posix(): one.read_bytes() for one in place.rglob("*") if one.is_file()}
        return EvidenceBundle(
            run=given.run, files=dict(sorted(files.items())), added=list(found.added), log=found.log_words
        )


OPERATIONS = (
    Operation(
        "evidence.list", "GET", "/evidence", "drill.report", ListEvidence, EvidenceList, _list,
        "The evidence that the stores have, the newest first, each verified.", tag="evidence", pages="evidence",
        keeps=10,
    ),
    Operation(
        "evidence.show", "GET", "/evidence/{run:str}", "drill.report", ShowEvidence, EvidenceShown, _show,
        "What the evidence of a run says, and where it is kept. It is verified first.", tag="evidence", keeps=5,
    ),
    Operation(
        "evidence.export", "GET", "/evidence/{run:str}/files", "drill.report", ShowEvidence, EvidenceBundle, _files,
        "All files of a run's evidence, with proofs of what came into the audit log since.", tag="evidence",
    ),
)  # fmt: skip
