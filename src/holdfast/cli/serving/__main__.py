"""`python -m holdfast.cli.serving docs/openapi.json`: writes the description of the API."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from holdfast.cli.serving import operations

__all__ = ["openapi_of"]

_CONFIG = """\
version: 1
organisation: example
sites:
  a: {cloud: onprem, region: a, jurisdiction: EU, stores: {warm: {url: /nowhere}}}
"""


def openapi_of() -> bytes:
    """The description, made of an application of an organisation without anything."""
    from holdfast.control.service.context import open_service
    from holdfast.web.api.openapi import openapi_text
    from holdfast.web.app import create_app

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "holdfast.yaml"
        path.write_text(_CONFIG)
        homes = dict.fromkeys(("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HOME"), folder)
        app = create_app(open_service(path, environment=homes, work=False), None, operations(), routes=())
        try:
            return openapi_text(app)
        finally:
            app.state.health.close()
            app.state.kept.close()


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(openapi_of())
