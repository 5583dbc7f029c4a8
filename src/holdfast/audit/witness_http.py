"""`add-checkpoint` over HTTP (C2SP tlog-witness): a server of the standard library, and the log's side of it.

The server speaks plain HTTP: put a proxy that terminates TLS before it where the network is not your own. Nothing that
it tells is secret, and it believes nothing that is not signed.
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from holdfast.audit.checkpoint_text import parse_decimal
from holdfast.audit.notes import NoteSignature, parse_lines
from holdfast.audit.reading import LogReader, Signed
from holdfast.audit.verifier_keys import VerifierKey
from holdfast.audit.witnessing import REQUEST_BYTES_MAX, SIZE_TYPE, Answer, Request, Witness, encode_request
from holdfast.errors import (
    DamageError,
    FailedError,
    HoldfastError,
    ObjectNotFoundError,
    StoreUnreachableError,
    UsageError,
)

__all__ = ["WitnessServer", "http_asker", "ask_witness"]

_PATH = "/add-checkpoint"
_SECONDS = 30.0  # for connecting, and for each read
_SECONDS_IN_ALL = 60.0
_ANSWER_BYTES_MAX = 64 << 10
_ATTEMPTS = 3


class WitnessServer:
    """A witness that listens. `with WitnessServer(witness, "127.0.0.1", 0) as server: server.url`."""

    def __init__(self, witness: Witness, host: str, port: int) -> None:
        """Port 0: any free one. Raises FailedError when the address cannot be had."""
        lock = threading.Lock()

        def answer(data: bytes) -> Answer:
            with lock:  # one request at a time: the state is read and moved on
                return witness.add_checkpoint(data)

        handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except (OSError, OverflowError) as error:
            raise FailedError(f"a witness cannot listen at {host}:{port}: {error}") from error
        self._server.daemon_threads = True
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def serve(self) -> None:
        """Answer until `close`, from another thread, or until interrupted."""
        self._server.serve_forever()

    def close(self) -> None:
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> WitnessServer:
        self._thread = threading.Thread(target=self.serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS
    answer: Any

    def do_POST(self) -> None:
        length = parse_decimal(self.headers.get("Content-Length", ""))
        if self.path != _PATH:
            self.close_connection = True  # the body stays unread
            self._give(Answer(404, "a witness answers at /add-checkpoint\n"))
        elif length is None or length > REQUEST_BYTES_MAX:
            self.close_connection = True
            self._give(Answer(400, "the request is too large, or does not say how large it is\n"))
        else:
            try:
                self._give(self.answer(self.rfile.read(length)))
            except HoldfastError:  # the witness's own store: nothing of it is the asker's business
                self._give(Answer(500, "the witness cannot reach its own memory\n"))

    def _give(self, answer: Answer) -> None:
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # the parent writes to stderr
        return


def http_asker(url: str, data: bytes) -> Answer:
    """Send one request to the witness at a submission prefix. Raises UsageError, StoreUnreachableError.

    A witness that answers drop by drop is one that does not answer: else it could keep the log from going on.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError("a witness is asked at http:// or https://", hint="for example http://127.0.0.1:8080")
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at just above
        url.rstrip("/") + _PATH, data=data, method="POST", headers={"Content-Type": "text/plain; charset=utf-8"}
    )
    given: list[Answer | Exception] = []

    def ask() -> None:
        try:
            given.append(_asked(request))
        except (OSError, ValueError, HTTPException) as error:
            given.append(error)

    asking = threading.Thread(target=ask, daemon=True)  # no time-out of a socket ends what goes on drop by drop
    asking.start()
    asking.join(_SECONDS_IN_ALL)
    answer = given[0] if given else TimeoutError("time is up")
    if isinstance(answer, Exception):
        raise StoreUnreachableError(f"the witness at {url} does not answer: {answer}", object_name=url) from answer
    return answer


def _asked(request: urllib.request.Request) -> Answer:
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
            return _answer(response.status, response.headers.get("Content-Type", ""), response.read(_ANSWER_BYTES_MAX))
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error.headers.get("Content-Type", ""), error.read(_ANSWER_BYTES_MAX))


def ask_witness(
    ask: Callable[[bytes], Answer],
    reader: LogReader,
    signed: Signed,
    keys: Sequence[VerifierKey],
    name: str,
    *,
    old: int = 0,
) -> list[NoteSignature]:
    """Have a checkpoint cosigned. `ask(bytes)` gives the `Answer`; `keys`: of the witness; `old`: what it saw last.

    A witness that saw another size says which, and is asked again. Raises DamageError where the witness refuses because
    the log does not continue what it saw (a fork, or one that went back), FailedError for any other refusal.
    """
    checkpoint = signed.checkpoint
    for _ in range(_ATTEMPTS):
        proof = reader.consistency(old, checkpoint)
        answer = ask(encode_request(Request(old, proof, signed.note.encode())))
        if answer.status == 200:
            return _cosignatures(answer, signed, keys, name)
        size = parse_decimal(answer.body.strip()) if answer.status == 409 and answer.content_type == SIZE_TYPE else None
        if size is not None and size > checkpoint.size:
            if _went_on(reader, signed, size):
                raise FailedError(f"the log went on while {name} was asked", hint="ask again")
            raise DamageError(
                f"{name} saw {size} entries of this log before, and now {checkpoint.size}: it was rolled back",
                hint="keep what is there as evidence; compare with the copies at other sites",
            )
        if answer.status == 422 or (size is not None and size == old):
            raise DamageError(
                f"{name} saw another history of this log before: it was forked or changed",
                hint="keep what is there as evidence; compare with the copies at other sites",
            )
        if size is None:
            raise FailedError(f"{name} refuses the checkpoint ({answer.status}): {answer.body.strip()[:200]}")
        old = size
    raise FailedError(f"{name} keeps moving on while it is asked; ask again")


def _went_on(reader: LogReader, asked: Signed, size: int) -> bool:
    """Whether the log itself has that many entries by now: somebody else appended, and had that witnessed."""
    newest = reader.newest()
    if newest is None or newest.checkpoint.size < size:
        return False
    try:
        reader.check_extends(asked.checkpoint, newest.checkpoint)
    except (DamageError, ObjectNotFoundError):
        return False
    return True


def _cosignatures(answer: Answer, signed: Signed, keys: Sequence[VerifierKey], name: str) -> list[NoteSignature]:
    lines = parse_lines(answer.body, name)
    known = {(key.name, key.key_id): key for key in keys}
    found = []
    for one in lines:
        key = known.get((one.name, one.key_id))
        if key is not None:
            key.verify(signed.note.text, one.signature, name)
            found.append(one)
    if not found:
        raise FailedError(f"the answer of {name} holds no cosignature of a key that is known here")
    return found


def _answer(status: int, content_type: str, body: bytes) -> Answer:
    return Answer(status, body.decode(errors="replace"), content_type)
