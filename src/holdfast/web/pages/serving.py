"""Files: the dashboard's own (style, script, sign), and what is taken away (evidence, proofs)."""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Response

from holdfast.web.pages.rendering import STATIC, static_bytes, static_tag
from holdfast.web.security.policies import needs, open_to_all

__all__ = ["ROUTES"]


@get(
    "/static/{name:str}",
    opt=open_to_all("the looks of the dashboard, the same for everybody"),
    include_in_schema=False,
    sync_to_thread=False,
    name="page:static",
)
def static(name: FromPath[str]) -> Response[bytes]:
    """By a list of names: nothing else of any folder is reached."""
    if name not in STATIC:
        raise NotFoundException("there is no such file")
    return Response(
        static_bytes(name),
        media_type=STATIC[name],
        headers={"Cache-Control": "public, max-age=86400", "ETag": f'"{static_tag(name)}"'},
    )


@get(
    "/evidence/{run:str}/files.zip",
    opt=needs("drill.report"),
    include_in_schema=False,
    sync_to_thread=True,
    name="page:evidence-files",
)
def evidence_files(request: Request[Any, Any, Any], run: FromPath[str]) -> Response[bytes]:
    """All files of the evidence of a run, byte by byte as they are kept."""
    from holdfast.control.service.reading.evidence import evidence_zip

    return _download(evidence_zip(request.app.state.service, run), f"evidence-{run}.zip", "application/zip")


@get(
    "/audit/{number:int}/proof",
    opt=needs("audit.prove", on="vault"),
    include_in_schema=False,
    sync_to_thread=True,
    name="page:audit-proof",
)
def proof(request: Request[Any, Any, Any], number: FromPath[int]) -> Response[bytes]:
    """The proof that an entry is in the log, for `docs/verify-tlog-proof.py`."""
    from holdfast.control.service.reading.audit import audit_proof

    return _download(audit_proof(request.app.state.service, number), f"entry-{number}.tlog-proof", "text/plain")


def _download(data: bytes, name: str, kind: str) -> Response[bytes]:
    """`name`: made of a run's id or a number that was checked."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(data, media_type=kind, headers=headers)


ROUTES: list[HTTPRouteHandler] = [static, evidence_files, proof]
