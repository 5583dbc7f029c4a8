"""A witness: remembers the largest state of each log that it saw, and cosigns only what continues it.

The protocol is `add-checkpoint` of C2SP tlog-witness; how a request arrives (over HTTP, or because the witness itself
reads the log's store) is not known here. The state of each log is a series of create-only objects on a store of the
witness's own, `audit-witness/<log>/<generation>`: a checkpoint with the log's signatures and the witness's. Checking
and moving on is atomic, as each generation is created once.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from holdfast.audit.checkpoint_text import Checkpoint, parse_checkpoint_text, parse_decimal, parse_hash
from holdfast.audit.layout import create_same, generation_in, generation_key
from holdfast.audit.merkle import verify_consistency
from holdfast.audit.notes import NOTE_BYTES_MAX, Note, NoteSignature, parse_note
from holdfast.audit.reading import open_checkpoint
from holdfast.audit.signing_keys import NoteKey
from holdfast.audit.verifier_keys import VerifierKey
from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, Clock
from holdfast.errors import CredentialError, DamageError, UntrustedError
from holdfast.stores.protocol import Store

__all__ = ["REQUEST_BYTES_MAX", "WITNESS_ROOT", "Answer", "Request", "Witness", "encode_request", "decode_request"]

WITNESS_ROOT = "audit-witness/"
REQUEST_BYTES_MAX = NOTE_BYTES_MAX + (8 << 10)
SIZE_TYPE = "text/x.tlog.size"
_TEXT_TYPE = "text/plain; charset=utf-8"
_PROOF_LINES_MAX = 63
_ATTEMPTS = 20


class Answer(NamedTuple):
    """`status` as of HTTP: 200 (cosigned), 400, 403, 404, 409 (the body says the size), 422."""

    status: int
    body: str
    content_type: str = _TEXT_TYPE


class Request(NamedTuple):
    """`old`: the size that the proof begins at."""

    old: int
    proof: list[bytes]
    checkpoint: bytes


def encode_request(request: Request) -> bytes:
    lines = [f"old {request.old}", *(base64.b64encode(one).decode() for one in request.proof), ""]
    return "".join(f"{line}\n" for line in lines).encode() + request.checkpoint


def decode_request(data: bytes) -> Request:
    """Raises DamageError."""
    problem = DamageError("this is not a request to add a checkpoint")
    head, gap, rest = data.partition(b"\n\n")
    try:
        lines = head.decode().split("\n")
    except UnicodeDecodeError:
        raise problem from None
    old = parse_decimal(lines[0][4:]) if lines[0].startswith("old ") else None
    hashes = [found for one in lines[1:] if (found := parse_hash(one)) is not None]
    if len(data) > REQUEST_BYTES_MAX or not gap or old is None or len(hashes) != len(lines) - 1:
        raise problem
    if len(hashes) > _PROOF_LINES_MAX:
        raise problem
    return Request(old, hashes, rest)


class _State(NamedTuple):
    generation: int
    checkpoint: Checkpoint | None
    cosignatures: str  # lines

    @property
    def size(self) -> int:
        return self.checkpoint.size if self.checkpoint is not None else 0


class Witness:
    """One witness with its own key and its own store; several processes may be the same witness."""

    def __init__(
        self, key: NoteKey, store: Store, logs: Mapping[str, Sequence[VerifierKey]], *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """`logs`: origin → the keys that the log signs with, all of which must have signed a checkpoint."""
        if key.use != "witness":
            raise CredentialError(f"the key of {key.name} is a log's: a witness needs one of its own")
        self.key = key
        self._store = store
        self._logs = {origin: list(keys) for origin, keys in logs.items()}
        self._clock = clock

    def seen(self, origin: str) -> Checkpoint | None:
        """The largest state of that log that this witness has cosigned. Raises DamageError, UntrustedError."""
        return self._state(origin).checkpoint

    def add_checkpoint(self, data: bytes) -> Answer:
        """Answer one request. Raises only what the witness's own store raises, and DamageError for its own state."""
        try:
            request = decode_request(data)
            note = parse_note(request.checkpoint, "the checkpoint")
            origin = parse_checkpoint_text(note.text, "the checkpoint").origin
        except DamageError as error:
            return Answer(400, f"{error.message}\n")
        keys = self._logs.get(origin)
        if keys is None:
            return Answer(404, "this witness does not know that log\n")
        try:
            _, checkpoint = open_checkpoint(request.checkpoint, origin, keys, "the checkpoint")
        except UntrustedError as error:
            return Answer(403, f"{error.message}\n")
        return self._add(request, note, checkpoint)

    def _add(self, request: Request, note: Note, checkpoint: Checkpoint) -> Answer:
        if request.old > checkpoint.size:
            return Answer(400, "the checkpoint is older than what the request builds on\n")
        for _ in range(_ATTEMPTS):
            state = self._state(checkpoint.origin)
            refusal = _refusal(state, request, checkpoint)
            if refusal is not None:
                return refusal
            if state.checkpoint is not None and state.checkpoint[:3] == checkpoint[:3]:
                return Answer(200, state.cosignatures)  # the same as before: nothing to move on to
            time = self._clock.now_ns() // NANOSECONDS
            cosignatures = self.key.sign(checkpoint, time)
            mine = Note(note.text, (*self._of_log(note, checkpoint.origin), *cosignatures)).encode()
            if len(mine) > NOTE_BYTES_MAX:  # it could not be read again, and this log never be witnessed any more
                return Answer(400, "the checkpoint is too large to be remembered\n")
            key = generation_key(self._prefix(checkpoint.origin), state.generation + 1)
            if create_same(self._store, key, mine):
                return Answer(200, "".join(one.line for one in cosignatures))
        return _conflict(self._state(checkpoint.origin).size)

    def _state(self, origin: str) -> _State:
        prefix = self._prefix(origin)
        generations = [one for info in self._store.list(prefix) if (one := generation_in(info.key, prefix))]
        if not generations:
            return _State(0, None, "")
        key = generation_key(prefix, generations[-1])
        # Only this witness writes here: what it did not sign itself is damage, never passed over.
        note, checkpoint = open_checkpoint(self._store.get(key), origin, self.key.keys, key)
        own = {(one.name, one.key_id) for one in self.key.keys}
        lines = [one.line for one in note.signatures if (one.name, one.key_id) in own]
        return _State(generations[-1], checkpoint, "".join(lines))

    def _prefix(self, origin: str) -> str:
        named = f"{self.key.name}\n{origin}".encode()
        return f"{WITNESS_ROOT}{sha256(named).hexdigest()[:32]}/"

    def _of_log(self, note: Note, origin: str) -> list[NoteSignature]:
        """The lines that were verified: the first of each key. Whoever asks may have put any others below them."""
        first: dict[tuple[str, bytes], NoteSignature] = {}
        for one in note.signatures:
            first.setdefault((one.name, one.key_id), one)
        places = [(key.name, key.key_id) for key in self._logs[origin]]
        return [first[place] for place in places if place in first]


def _refusal(state: _State, request: Request, checkpoint: Checkpoint) -> Answer | None:
    if request.old != state.size:
        return _conflict(state.size)
    seen = state.checkpoint
    if seen is None or seen.size == 0:
        return Answer(422, "a proof from nothing is empty\n") if request.proof else None
    if seen.size == checkpoint.size and seen.root != checkpoint.root:
        return _conflict(state.size)
    try:
        verify_consistency(seen.size, checkpoint.size, seen.root, checkpoint.root, request.proof)
    except DamageError as error:
        return Answer(422, f"{error.message}\n")
    return None


def _conflict(size: int) -> Answer:
    return Answer(409, f"{size}\n", SIZE_TYPE)
