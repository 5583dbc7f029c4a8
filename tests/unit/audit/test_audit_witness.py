"""A witness answers as C2SP tlog-witness says, over HTTP and without, and remembers across restarts."""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.error
import urllib.request
from contextlib import suppress

import pytest

from holdfast.audit import witness_http
from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.cosigning import witness_at, witness_here
from holdfast.audit.merkle import EMPTY_ROOT
from holdfast.audit.notes import NOTE_BYTES_MAX, Note, open_note, parse_lines, parse_note
from holdfast.audit.reading import LogReader
from holdfast.audit.signing_keys import NoteKey
from holdfast.audit.verifier_keys import Kind
from holdfast.audit.witness_http import WitnessServer, http_asker
from holdfast.audit.witnessing import Request, Witness, decode_request, encode_request
from holdfast.clock import ManualClock
from holdfast.errors import CredentialError, DamageError, FailedError, StoreUnreachableError, UsageError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.audit_trials import TrialLog, new_trial_log

_KEY = NoteKey.generate("witness", "b.test/w")


@pytest.fixture
def log() -> TrialLog:
    return new_trial_log(MemoryStore())


def _witness(log: TrialLog, store: MemoryStore | None = None) -> Witness:
    return Witness(_KEY, store or MemoryStore(), {log.key.name: log.key.keys}, clock=ManualClock())


def _request(log: TrialLog, old: int, *, reader: LogReader | None = None) -> bytes:
    reader = reader or log.reader()
    signed = reader.get_newest()
    return encode_request(Request(old, reader.consistency(old, signed.checkpoint), signed.note.encode()))


def test_the_example_of_the_specification_is_understood() -> None:
    body = (
        b"old 20852014\n"
        b"PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
        b"jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
        b"5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n"
        b"/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n"
        b"\n"
        b"example.com/behind-the-sofa\n"
        b"20852163\n"
        b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
        b"\n"
        + "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+z"
        "yWE+xeMcTOAYQ8=\n".encode()
    )
    request = decode_request(body)
    assert (request.old, len(request.proof)) == (20852014, 4)
    assert encode_request(request) == body


def test_it_cosigns_what_continues_what_it_saw_and_says_when(log: TrialLog) -> None:
    store = MemoryStore()
    log.append(3)
    answer = _witness(log, store).add_checkpoint(_request(log, 0))
    assert answer.status == 200
    lines = parse_lines(answer.body, "x")
    opened = open_note(Note(log.checkpoint().text, tuple(lines)), _KEY.keys, "x")
    assert {key.kind: when for key, when in opened.signed.items()} == {
        Kind.ED25519_COSIGNATURE: 1_700_000_000,
        Kind.MLDSA44_COSIGNATURE: 1_700_000_000,
    }
    log.append(300)
    again = _witness(log, store)  # another process
    assert again.add_checkpoint(_request(log, 3)).status == 200
    assert again.seen(log.key.name) == log.checkpoint()


def test_the_same_again_gets_the_same_and_leaves_nothing_new(log: TrialLog) -> None:
    store = MemoryStore()
    log.append(3)
    first = _witness(log, store).add_checkpoint(_request(log, 0))
    left = [info.key for info in store.list("")]
    assert _witness(log, store).add_checkpoint(_request(log, 3)) == first
    assert [info.key for info in store.list("")] == left


def test_another_size_than_it_saw_is_a_conflict_that_says_the_size(log: TrialLog) -> None:
    witness = _witness(log)
    log.append(5)
    assert witness.add_checkpoint(_request(log, 0)).status == 200
    log.append(5)
    for old in (0, 3, 7):
        answer = witness.add_checkpoint(_request(log, old))
        assert (answer.status, answer.body, answer.content_type) == (409, "5\n", "text/x.tlog.size")


def test_a_fork_is_refused_at_the_same_size_and_at_a_larger_one(log: TrialLog) -> None:
    witness, other = _witness(log), log.on(MemoryStore())
    log.append(5)
    other.append(5)
    assert witness.add_checkpoint(_request(log, 0)).status == 200
    assert witness.add_checkpoint(_request(other, 5)).status == 409
    other.append(4)
    assert witness.add_checkpoint(_request(other, 5)).status == 422
    assert witness.seen(log.key.name) == log.checkpoint()


def test_a_rollback_is_refused(log: TrialLog) -> None:
    witness = _witness(log)
    log.append(5)
    earlier = _request(log, 0)
    log.append(5)
    assert witness.add_checkpoint(_request(log, 0)).status == 200
    assert witness.add_checkpoint(earlier).status == 409
    assert witness.add_checkpoint(earlier.replace(b"old 0", b"old 10", 1)).status == 400
    assert witness.seen(log.key.name) == log.checkpoint()


def test_an_unknown_log_and_a_signature_of_nobody(log: TrialLog) -> None:
    witness, stranger = _witness(log), new_trial_log(MemoryStore())
    stranger.append(1)
    assert witness.add_checkpoint(_request(stranger, 0)).status == 403, "the same name with another key"
    named = NoteKey.generate("log", "somebody.test/else")
    other = TrialLog(MemoryStore(), named)
    other.append(1)
    assert witness.add_checkpoint(_request(other, 0)).status == 404


@pytest.mark.parametrize("left", [0, 1])
def test_one_of_the_logs_two_signatures_is_not_enough(log: TrialLog, left: int) -> None:
    log.append(1)
    signed = log.reader().get_newest()
    note = Note(signed.note.text, (signed.note.signatures[left],))
    assert _witness(log).add_checkpoint(encode_request(Request(0, [], note.encode()))).status == 403


@pytest.mark.parametrize("body", [b"", b"old 0\n\n", b"old 00\n\nx\n", b"new 0\n\n", b"old 0\nAA==\n\n", b"\xff\n\n"])
def test_what_is_no_request(log: TrialLog, body: bytes) -> None:
    assert _witness(log).add_checkpoint(body).status == 400


def test_a_proof_from_nothing_must_be_empty(log: TrialLog) -> None:
    log.append(2)
    signed = log.reader().get_newest()
    wrong = encode_request(Request(0, [bytes(32)], signed.note.encode()))
    assert _witness(log).add_checkpoint(wrong).status == 422


def test_two_at_once_never_go_back(log: TrialLog) -> None:
    """The race of the specification: the larger one is cosigned while the smaller one is looked at."""
    store = MemoryStore()
    log.append(5)
    small = _request(log, 0)
    log.append(5)
    large = _request(log, 0)
    answers = []
    start = threading.Barrier(8)

    def ask(data: bytes) -> None:
        witness = _witness(log, store)
        start.wait()
        answers.append((data, witness.add_checkpoint(data).status))

    threads = [threading.Thread(target=ask, args=(one,)) for one in [small, large] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sizes = [parse_note(store.get(info.key), "x").text.split("\n")[1] for info in store.list("")]
    assert len(sizes) == 1, "from nothing, one of them moved on; the other one does not build on that"
    assert {status for data, status in answers if f"\n{sizes[0]}\n".encode() not in data} == {409}


def _status(url: str, headers: dict[str, str]) -> int:
    """Of a request of which only the headers are sent."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.putrequest("POST", "/add-checkpoint")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def test_over_http(log: TrialLog) -> None:
    store = MemoryStore()
    log.append(7)
    with WitnessServer(_witness(log, store), "127.0.0.1", 0) as server:
        lines = witness_at(server.url, log.reader(), log.reader().get_newest(), _KEY.keys)
        assert len(lines) == 2
        log.append(600)
        assert len(witness_at(server.url, log.reader(), log.reader().get_newest(), _KEY.keys)) == 2
        other = log.on(MemoryStore())
        other.append(700)
        with pytest.raises(DamageError, match="another history"):
            witness_at(server.url, other.reader(), other.reader().get_newest(), _KEY.keys)
        short = log.on(MemoryStore())
        short.append(1)
        with pytest.raises(DamageError, match="rolled back"):
            witness_at(server.url, short.reader(), short.reader().get_newest(), _KEY.keys)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(urllib.request.Request(f"{server.url}/elsewhere", data=b"x", method="POST"))
        for length in ("1000000", "-1", "many", ""):
            assert _status(server.url, {"Content-Length": length}) == 400
        with pytest.raises(Exception, match="no cosignature of a key"):
            witness_at(server.url, log.reader(), log.reader().get_newest(), NoteKey.generate("witness", "x").keys)
    with pytest.raises(StoreUnreachableError):
        witness_at(server.url, log.reader(), log.reader().get_newest(), _KEY.keys)
    with pytest.raises(UsageError):
        http_asker("file:///etc/passwd", b"")


def test_a_witness_that_reads_the_store_catches_up_by_itself(log: TrialLog) -> None:
    witness = _witness(log)
    for count in (1, 255, 1, 300):
        log.append(count)
        assert len(witness_here(witness, log.reader(), log.reader().get_newest())) == 2
    assert witness.seen(log.key.name) == Checkpoint(log.key.name, 557, log.checkpoint().root)


def test_a_logs_key_is_no_witness(log: TrialLog) -> None:
    with pytest.raises(CredentialError):
        Witness(log.key, MemoryStore(), {})


def test_a_state_that_was_changed_is_damage_and_never_passed_over(log: TrialLog) -> None:
    store = MemoryStore()
    log.append(2)
    witness = _witness(log, store)
    witness.add_checkpoint(_request(log, 0))
    [info] = store.list("")
    store.put(info.key, store.get(info.key).replace(b"\n2\n", b"\n1\n"))
    with pytest.raises(Exception, match="wrong"):
        witness.add_checkpoint(_request(log, 2))


@pytest.mark.parametrize("size", [1, 2400])
def test_a_stranger_who_adds_lines_does_not_take_the_witness_its_memory(log: TrialLog, size: int) -> None:
    """Anybody who reads the log can be first to show its checkpoint, with lines below it in the log's name."""
    log.append(3)
    store, signed = MemoryStore(), log.reader().get_newest()
    one = signed.note.signatures[0]
    junk = [one._replace(signature=bytes([number]) * size) for number in range(62)]
    padded = Note(signed.note.text, (*signed.note.signatures, *junk))
    assert _witness(log, store).add_checkpoint(encode_request(Request(0, [], padded.encode()))).status == 200
    log.append(1)
    assert _witness(log, store).add_checkpoint(_request(log, 3)).status == 200
    kept = [parse_note(store.get(info.key), info.key) for info in store.list("")]
    assert [len(note.signatures) for note in kept] == [4, 4]


def test_a_checkpoint_that_could_not_be_remembered_is_not_cosigned(log: TrialLog) -> None:
    checkpoint = Checkpoint(log.key.name, 0, EMPTY_ROOT, ("x" * (NOTE_BYTES_MAX - 6000),))
    note = Note(checkpoint.text, tuple(log.key.sign(checkpoint, 1)))
    store = MemoryStore()
    answer = _witness(log, store).add_checkpoint(encode_request(Request(0, [], note.encode())))
    assert (answer.status, list(store.list(""))) == (400, [])


def test_a_log_that_went_on_while_the_witness_was_asked_was_not_rolled_back(log: TrialLog) -> None:
    log.append(3)
    reader, witness = log.reader(), _witness(log)
    signed = reader.get_newest()
    log.append(1)
    witness_here(witness, log.reader(), log.reader().get_newest())
    with pytest.raises(FailedError, match="went on while"):
        witness_here(witness, reader, signed)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.0 200 OK\r\n\r\n"])
def test_a_witness_that_answers_drop_by_drop_does_not_answer(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr(witness_http, "_SECONDS_IN_ALL", 0.3)
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def drip() -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.sendall(head)
            while not ended.wait(0.02):
                connection.sendall(b"a")

    dripping = threading.Thread(target=drip, daemon=True)
    dripping.start()
    with pytest.raises(StoreUnreachableError, match="time is up"):
        http_asker(f"http://127.0.0.1:{listening.getsockname()[1]}", b"x")
    ended.set()
    dripping.join()
    listening.close()
