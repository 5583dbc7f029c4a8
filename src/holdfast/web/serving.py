"""One server, from listening to the end: the application, a worker, the catalog's refresher, the incidents' watch."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import uvicorn

from holdfast.config.checking.people import unknown_people
from holdfast.control.service.backing_up import Backups
from holdfast.control.service.readying import make_ready
from holdfast.control.service.refreshing import Refresher
from holdfast.errors import FailedError, HoldfastError, PermissionDeniedError, RefusedError, UsageError
from holdfast.web.app import Server, create_app
from holdfast.web.connections import Patient, end_idle
from holdfast.web.pages.rendering import prepare_pages
from holdfast.web.settings import ServerSettings, is_loopback

if TYPE_CHECKING:
    from holdfast.control.service.context import Service
    from holdfast.control.service.operations import Operation

__all__ = ["Listening", "serve", "settings_of", "spare_collecting"]

_LOG: Final = logging.getLogger("holdfast.serve")
_GRACE_S: Final = 20
_TICKS: Final = 10  # of uvicorn, ten a second
_SWITCH_S: Final = 0.001  # a request waits for no longer than that while another thread computes; Python's is 5 ms


class Listening(NamedTuple):
    """`certificate`, `key`: PEM files. `behind_proxy`: another server ends TLS, and says whom it speaks for."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False

    @property
    def is_secure(self) -> bool:
        return self.certificate is not None or self.behind_proxy

    def require_safe(self) -> None:
        """Raises RefusedError for plain HTTP where others than this machine could listen; UsageError."""
        if (self.certificate is None) != (self.key is None):
            raise UsageError("a certificate needs its key, and a key its certificate", hint="--tls-cert and --tls-key")
        if not is_loopback(self.host) and not self.is_secure:
            raise RefusedError(
                f"{self.host} is reached from other machines, and HTTP without TLS tells everybody on the way",
                hint="--tls-cert and --tls-key; or --behind-proxy where another server ends TLS",
            )


def settings_of(service: Service, listening: Listening) -> ServerSettings:
    """Names that the server is asked by: its address, and what `serve: {hosts: …}` says."""
    port = listening.port
    usual = port == (443 if listening.is_secure else 80)
    host = f"[{listening.host}]" if ":" in listening.host else listening.host
    names = [host, *(["localhost", "127.0.0.1", "[::1]"] if is_loopback(listening.host) else [])]
    hosts = [f"{name}:{port}" for name in names] + (names if usual else []) + list(service.loaded.config.serve.hosts)
    return ServerSettings(hosts=tuple(dict.fromkeys(hosts)), secure=listening.is_secure)


def serve(
    service: Service,
    listening: Listening,
    operations: Sequence[Operation],
    *,
    work: bool = True,
    watch: bool = True,
    refresh_s: float = 60.0,
    told: Callable[[str], None] = lambda text: None,
) -> list[str]:
    """Until SIGTERM or SIGINT. What was handed over, in words. `told`: the address, when it listens.

    Raises RefusedError, UsageError, FailedError (the address is taken), and what `create_app` raises.
    """
    listening.require_safe()
    unknown = unknown_people(service.loaded.config)
    if unknown:
        _LOG.warning("holdfast.yaml: %s", unknown)
    listener = _bound(listening)
    listening = listening._replace(port=listener.getsockname()[1])
    try:
        app = create_app(service, settings_of(service, listening), operations)
        return _run(
            service, listening, listener, app, _Companions(service, work=work, watch=watch, every=refresh_s), told
        )
    finally:
        listener.close()
        service.close()


def _run(
    service: Service,
    listening: Listening,
    listener: socket.socket,
    app: Server,
    companions: _Companions,
    told: Callable[[str], None],
) -> list[str]:
    config = uvicorn.Config(
        app,
        host=listening.host,
        port=listening.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=listening.behind_proxy,
        forwarded_allow_ips="127.0.0.1" if listening.behind_proxy else "",
        ssl_certfile=listening.certificate,
        ssl_keyfile=None if listening.key is None else str(listening.key),
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=15,
        h11_max_incomplete_event_size=32 << 10,
        limit_concurrency=4000,
        http=Patient,
        ws="none",
        lifespan="on",
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise PermissionDeniedError(f"the certificate or its key cannot be used ({type(error).__name__})") from error
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
    host = f"[{listening.host}]" if ":" in listening.host else listening.host
    shown = f"http{'s' if listening.certificate else ''}://{host}:{listening.port}"
    server = _Server(config, app, lambda: told(shown))
    sys.setswitchinterval(_SWITCH_S)
    try:
        companions.start()
        server.run(sockets=[listener])
    finally:
        left = companions.stop()
    return left


def _bound(listening: Listening) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
        # asyncio sends at once (TCP_NODELAY) where the protocol is said: else the end of an answer waits for 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((listening.host, listening.port))
            listener.listen(2048)
        except BaseException:  # also a Ctrl-C: nobody else closes it
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise FailedError(
            f"{listening.host}:{listening.port} cannot be listened on ({why})", hint="--address names another one"
        ) from error
    return listener


class _Server(uvicorn.Server):
    """Ends its streams of events when it is told to end: they would keep it for as long as people watch."""

    def __init__(self, config: uvicorn.Config, app: Server, listens: Callable[[], None]) -> None:
        super().__init__(config)
        self._app, self._listens = app, listens

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.to_thread(make_ready, self._app.state.service, prepare_pages)
        spare_collecting()
        await super().startup(sockets)
        self._listens()

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS == 0:
            end_idle(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.state.leaving.set()
        threading.Thread(target=self._app.state.events.close, name="leaving", daemon=True).start()
        super().handle_exit(sig, frame)
        self._captured_signals.clear()  # they were answered: the process ends by itself, with its own exit code


class _Companions:
    """What lives beside the application in this process. What cannot begin is said, and the rest goes on."""

    def __init__(self, service: Service, *, work: bool, watch: bool, every: float) -> None:
        self._service, self._work, self._watch = service, work, watch
        self._refresher = Refresher(service, every) if every else None
        self._backups = Backups(service)
        self._worker: Any = None
        self._watcher: Any = None

    def start(self) -> None:
        if self._refresher is not None:
            self._refresher.start()
        self._backups.start()
        if self._work and self._service.workflows is not None:
            self._worker = self._tried("worker", self._begin_worker)
        if self._watch:
            self._watcher = self._tried("watch over incidents", self._begin_watcher)

    def _begin_worker(self) -> Any:
        from holdfast.control.working.dbos_workflows import DbosWorkflows
        from holdfast.control.working.worker import Worker

        queue = self._service.workflows
        assert isinstance(queue, DbosWorkflows)

        def told(happened: Any) -> None:
            facts = {"work": str(happened.work), "run": str(happened.run), "kind": happened.kind}
            _LOG.info("worker: %s %s", happened.what, happened.text, extra={"facts": facts})

        worker = Worker(self._service.sites(), queue, told=told)
        worker.start()
        return worker

    def _begin_watcher(self) -> Any:
        from holdfast.control.incidents.watching import Watcher

        watcher = Watcher(self._service)
        watcher.start()
        return watcher

    def _tried(self, what: str, begin: Callable[[], Any]) -> Any:
        try:
            return begin()
        except HoldfastError as error:
            _LOG.warning("the %s did not begin: %s", what, error.message)
            return None

    def stop(self) -> list[str]:
        """Keys of work that goes on elsewhere."""
        for one in (self._watcher, self._refresher, self._backups):
            if one is not None:
                with suppress(HoldfastError):
                    one.stop()
        if self._worker is None:
            return []
        try:
            return list(self._worker.stop(10.0))
        except HoldfastError as error:
            _LOG.warning("the worker did not end in good order: %s", error.message)
            return []


def spare_collecting() -> None:
    """What is there before the first request stays: a full collection of garbage, which all requests wait for, then
    passes over it. For a process that serves to its end.
    """
    gc.collect()
    gc.freeze()


def leave(code: int) -> None:
    """Leave the process: threads of work that was handed over may be in the middle of something."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
