"""A real PostgreSQL on the loopback interface, for tests and benchmarks: a cluster in a folder of the caller's.

::

    with PostgresServer(folder) as server:
        database = open_catalog(server.new_database(), "acme")

PostgreSQL refuses to run as root: started by root, it runs as the user `nobody`, to whom the folder is given. Who
connects has to know a random password, which lies in a file for PGPASSFILE (`passfile`).
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from holdfast.errors import FailedError, MissingExtraError
from holdfast.testing.ports import free_ports

__all__ = ["PostgresServer", "postgres_programs"]

_START_SECONDS_MAX: Final = 60.0
_USER: Final = "holdfast"


def postgres_programs() -> Path:
    """The folder of `initdb` and `postgres`. Raises MissingExtraError."""
    found = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if found:
        return max(found, key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0)
    program = shutil.which("initdb")
    if program is not None:
        return Path(program).resolve().parent
    raise MissingExtraError("PostgreSQL is not installed", hint="apt-get install postgresql")


class PostgresServer:
    """Ready within seconds; durability is off, as nothing of it is kept."""

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None) -> None:
        """Raises MissingExtraError."""
        self._programs = postgres_programs()
        self._folder = folder
        self._settings = {"fsync": "off", "max_connections": "30", "shared_buffers": "64MB"} | dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._databases = 0
        self.passfile = folder / "passfile"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        password = secrets.token_hex(16)
        self.passfile.write_text(f"*:*:*:{_USER}:{password}\n")
        self.passfile.chmod(0o600)
        given = self._folder / "initial"
        given.write_text(password)
        data = self._folder / "data"
        data.mkdir()
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody").pw_uid
            for path in (data, given):
                os.chown(path, nobody, -1)
            for parent in (self._folder, *self._folder.parents):  # who serves has to reach its data
                with suppress(PermissionError):
                    parent.chmod(parent.stat().st_mode | 0o011)
        self._run("initdb", "-D", str(data), "-U", _USER, "-A", "scram-sha-256", f"--pwfile={given}", "-E", "UTF8")
        given.unlink()
        (self._port,) = free_ports(1)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(fast=False)
        shutil.rmtree(self._folder / "data", ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs besides the address."""
        return {"PGPASSFILE": str(self.passfile)}

    def url(self, database: str) -> str:
        """Without a password."""
        return f"postgresql://{_USER}@127.0.0.1:{self._port}/{database}"

    def new_database(self) -> str:
        """The address of an empty database."""
        self._databases += 1
        name = f"catalog{self._databases}"
        self._client("createdb", name)
        return self.url(name)

    def start(self) -> None:
        """Start it, and return when it answers. Raises FailedError with the end of its log."""
        options = self._settings | {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": "",
        }
        log = self._folder / "log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [
                    str(self._programs / "postgres"),
                    "-D",
                    str(self._folder / "data"),
                    *(word for name, value in options.items() for word in ("-c", f"{name}={value}")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd="/",
                start_new_session=True,
                user=self._user(),
            )
        until = time.monotonic() + _START_SECONDS_MAX
        while True:
            try:
                return self._client("psql", "-d", "postgres", "-c", "SELECT 1")
            except FailedError as error:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise FailedError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-800:]}") from error
                time.sleep(0.1)

    def stop(self, *, fast: bool = True) -> None:
        """End it: connections are cut. Not `fast`: as a crash does."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT if fast else signal.SIGQUIT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _client(self, program: str, *arguments: str) -> None:
        self._run(program, "-h", "127.0.0.1", "-p", str(self._port), "-U", _USER, "-w", *arguments, own=True)

    def _run(self, program: str, *arguments: str, own: bool = False) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            capture_output=True,
            cwd="/",
            env={**os.environ, **self.environment, "PGCONNECT_TIMEOUT": "5"},
            user=None if own else self._user(),
            check=False,
        )
        if done.returncode:
            raise FailedError(f"{program} failed: {done.stderr.decode(errors='replace')[-500:]}")

    @staticmethod
    def _user() -> str | None:
        return "nobody" if os.geteuid() == 0 else None
