"""Doing what an activity says, by its provider: a process, a request, a function in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from holdfast.drills.chaos.model import Activity, Http, Process, Python
from holdfast.errors import FailedError, RefusedError
from holdfast.outgoing import NoRedirects

__all__ = ["as_json", "call"]

_OUTPUT_MAX: Final = 1 << 20
_CALL: Final = """\
import importlib, json, sys
order = json.loads(sys.stdin.read())
found = getattr(importlib.import_module(order["module"]), order["func"])(**order["arguments"])
sys.stdout.write("\\n" + json.dumps(found))
"""
_HIDDEN: Final = ("HOLDFAST_",)


_LOOK_SECONDS: Final = 0.5

Look = Callable[[], None]


def call(activity: Activity, modules: Sequence[str], environment: Mapping[str, str], look: Look = lambda: None) -> Any:
    """What it returns: of a process `{status, stdout, stderr}`, of HTTP `{status, headers, body}`, of a function its
    value. `modules`: those whose functions may be called. `look`: asked while a process runs; what it raises ends that.
    Raises FailedError, RefusedError.
    """
    match activity.provider:
        case Process() as process:
            words = [process.path, *process.arguments]
            return _process(words, None, process.timeout, environment, activity.name, look)
        case Http() as http:
            return _http(http, activity.name)
        case Python() as python:
            return _python(python, modules, environment, activity.name, look)


def _process(
    words: Sequence[str], given: str | None, seconds: float, environment: Mapping[str, str], name: str, look: Look
) -> dict[str, Any]:
    own = {key: value for key, value in environment.items() if not key.startswith(_HIDDEN)}
    try:
        process = subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=own,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise FailedError(f"{name}: {words[0]} cannot be started ({error})") from error
    until = time.monotonic() + seconds
    try:
        while True:
            left = until - time.monotonic()
            try:
                told = None if given is None else given.encode()
                out, err = process.communicate(told, timeout=max(0.0, min(left, _LOOK_SECONDS)))
                break
            except subprocess.TimeoutExpired as error:
                if left <= _LOOK_SECONDS:
                    raise FailedError(f"{name} took longer than {seconds:g} s") from error
                look()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    text = [stream[:_OUTPUT_MAX].decode(errors="replace") for stream in (out, err)]
    return {"status": process.returncode, "stdout": text[0], "stderr": text[1]}


def _http(http: Http, name: str) -> dict[str, Any]:
    headers = dict(http.headers)
    data = None
    if http.arguments is not None and http.method != "GET":
        data = http.arguments.encode() if isinstance(http.arguments, str) else msgspec.json.encode(http.arguments)
        headers.setdefault("Content-Type", "application/json")
    request = urllib.request.Request(http.url, data=data, headers=headers, method=http.method)  # noqa: S310 - http only
    opener = urllib.request.build_opener(NoRedirects, urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=http.timeout) as answer:
            status, told, body = answer.status, dict(answer.headers), answer.read(_OUTPUT_MAX)
    except urllib.error.HTTPError as error:
        status, told, body = error.code, dict(error.headers), error.read(_OUTPUT_MAX)
    except (OSError, ValueError) as error:
        raise FailedError(f"{name}: {http.url} does not answer ({error})") from error
    if http.expected_status is not None and status != http.expected_status:
        raise FailedError(f"{name}: {http.url} answers {status}, not {http.expected_status}")
    return {"status": status, "headers": told, "body": as_json(body)}


def as_json(body: bytes) -> Any:
    """What JSON says, where it is any; else the text."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError):
        return body.decode(errors="replace")


def _python(python: Python, modules: Sequence[str], environment: Mapping[str, str], name: str, look: Look) -> Any:
    if python.module not in modules:
        raise RefusedError(
            f"{name}: functions of {python.module} are not called unless you say so", hint=f"--python {python.module}"
        )
    order = json.dumps({"module": python.module, "func": python.func, "arguments": python.arguments})
    said = _process([sys.executable, "-c", _CALL], order, python.timeout, environment, name, look)
    if said["status"] != 0:
        last = (said["stderr"].strip() or "nobody says why").splitlines()[-1]
        raise FailedError(f"{name}: {python.module}.{python.func} failed: {last}")
    lines = said["stdout"].splitlines()
    try:
        return msgspec.json.decode(lines[-1] if lines else "")
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise FailedError(f"{name}: {python.module}.{python.func} returned nothing that is JSON") from error
