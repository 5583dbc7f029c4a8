"""The physical limit of `benchmarks.server`: the same application with a route that does nothing, behind the same
identification, policies and records. `python -m benchmarks.bare_route holdfast.yaml PORT`.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from litestar import Request, Response, get

from holdfast.cli.serving import operations
from holdfast.control.service.context import open_service
from holdfast.web.app import create_app
from holdfast.web.connections import Patient
from holdfast.web.security.policies import needs
from holdfast.web.serving import Listening, settings_of, spare_collecting


@get("/api/v1/bare", opt=needs("objective.show"))
async def bare(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Nothing."""
    return Response(b"{}", media_type="application/json")


def main(config: str, port: int) -> None:
    service = open_service(config, work=False)
    app = create_app(service, settings_of(service, Listening("127.0.0.1", port)), operations(), routes=[bare])
    spare_collecting()
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        http=Patient,
        ws="none",
        log_config=None,
        access_log=False,
        timeout_keep_alive=15,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
