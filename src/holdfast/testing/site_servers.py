"""The servers of `holdfast.testing.servers` and the double of Google Cloud Storage at a site of a `Network`."""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.testing.gcs_bucket import Bucket
from holdfast.testing.gcs_double import GcsDouble, _Server
from holdfast.testing.networks import Site
from holdfast.testing.servers import SeaweedServer

__all__ = ["GcsAt", "SeaweedAt"]

_LOOPBACK = "127.0.0.1"


class SeaweedAt(SeaweedServer):
    """SeaweedFS that listens at a site's address; the other sites reach it by `url` and `options`."""

    def __init__(self, site: Site, folder: Path) -> None:
        super().__init__(folder)
        self._site = site

    @property
    def endpoint(self) -> str:
        return super().endpoint.replace(_LOOPBACK, self._site.address)

    def _command(self) -> list[str]:
        return [each.replace(_LOOPBACK, self._site.address) for each in super()._command()]

    def _choose_ports(self) -> list[int]:
        with self._site.inside():
            return super()._choose_ports()

    def _launch(self) -> None:
        with self._site.inside():  # the probes ask from there too: they tell nothing about the links
            super()._launch()


class GcsAt(GcsDouble):
    """The double of Google Cloud Storage, in this process, listening at a site's address."""

    def __init__(self, site: Site, clock: Clock = SYSTEM_CLOCK) -> None:
        class Listening(_Server):
            def server_bind(self) -> None:
                self.server_address = (site.address, 0)
                super().server_bind()

            def handle_error(self, request: object, client_address: object) -> None:
                """Connections that break off are what such tests are about: they print nothing."""
                if not isinstance(sys.exc_info()[1], OSError):
                    super().handle_error(request, client_address)  # type: ignore[arg-type]

        self.bucket = f"test-{secrets.token_hex(6)}"
        self._site = site
        with site.inside():
            self._server = Listening(self.bucket, Bucket(clock))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def options(self) -> Mapping[str, str]:
        return {"endpoint": f"http://{self._site.address}:{self._server.server_port}", "allow_http": "true"}
