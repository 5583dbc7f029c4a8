"""What Slurm, functions and other programs say, and what is kept of machines on this one."""

from __future__ import annotations

from fuzz.model import Broken, Target
from holdfast.errors import DamageError
from holdfast.infra.calling.python_calls import decode_told
from holdfast.infra.compute.local import decode_handle
from holdfast.infra.compute.slots import decode_slots
from holdfast.infra.compute.slurm import decode_kept
from holdfast.infra.compute.slurm_texts import ended_of, jobs_of, nodes_of, start_of
from holdfast.infra.traffic_file import decode_sent
from holdfast.trust.webhook_signatures import message_id, signature_problem, signed_headers

__all__ = ["TARGETS"]

_HANDLE = (
    b'{"key":"r/start","machines":["euw4/H100x8/0"],"launch":{"asset":"llama","command":["a","{machine}"],"folder":"/",'
    b'"environment":{"A":"b"}},"begun":1,"stopped_by":""}'
)
_SENT = b'{"version":1,"asset":"llama","site":"euw4","run":"r","key":"r/t","before":null}'


def _slurm(data: bytes) -> None:
    text = data.decode(errors="replace")
    idle, others = nodes_of(text, "gpu:h100")
    if min(idle, others) < 0 or (idle and "idle" not in text):
        raise Broken(f"{idle} nodes are idle that nobody named")
    if any(one.id < 0 or one.nodes < 0 or "|" in one.name for one in jobs_of(text)):
        raise Broken("a job was read that cannot be")
    ended = ended_of(text, 1)
    if ended is not None and (ended.id < 0 or (ended.state == "COMPLETED") != (text.split()[1].strip("0") == "")):
        raise Broken(f"a job ended {ended.state} that said otherwise")
    seconds = start_of(text, 1_795_000_000_000_000_000)
    if seconds is not None and not 0 <= seconds < float("inf"):
        raise Broken(f"a job begins in {seconds} s")


def _kept(data: bytes) -> None:
    """Each says what it is, or that it is damaged; nothing else is raised."""
    problems = 0
    for decode in (decode_slots, decode_handle, decode_kept, decode_sent):
        try:
            decode(data, "a file")
        except DamageError:
            problems += 1
    if problems == 0:
        raise Broken("one text is three things")


def _told(data: bytes) -> None:
    told = decode_told(data, "the function")
    if len(told) > 32 or any(isinstance(one, str) and len(one) > 500 for one in told.values()):
        raise Broken("more was kept than may be")


def _signature(data: bytes) -> None:
    """Three lines: the values of the three headers."""
    good = signed_headers([b"secret"], "run/1", b"body", 1_700_000_000)
    lines = data.decode("latin-1").split("\n")
    headers = dict(zip(good, lines, strict=False))
    problem = signature_problem(headers, [b"secret"], b"body", 1_700_000_000)
    *named, signatures = good.values()
    vouches = lines[:2] == named and len(lines) > 2 and signatures in lines[2].split(" ")
    if (problem is None) != vouches:
        raise Broken(f"{headers!r} vouches for a body that nobody signed, or not for one that was")
    own = signed_headers([b"secret"], message_id(lines[0]), b"body", 1_700_000_000)
    if signature_problem(own, [b"secret"], b"body", 1_700_000_000) is not None or not _is_header(own):
        raise Broken(f"a message of {lines[0]!r} vouches for nothing")


def _is_header(headers: dict[str, str]) -> bool:
    return all(one.isascii() and one.isprintable() for one in headers.values())


TARGETS = [
    Target(
        "slurm",
        "`nodes_of`, `jobs_of`, `start_of`, `ended_of`",
        _slurm,
        lambda: [
            b"idle|3|gpu:h100:8(S:0-1)\nmix|1|(null)\n",
            b"7|RUNNING|2|holdfast-ab|None\n8|PENDING|1|x|Resources\n",
            b"9 0\n",
            b"9 137\n",
            b"sbatch: Job 9 to start at 2026-11-22T03:00:00 using 2 processors",
        ],
        (b"idle|", b"idle~", b"gpu:h100:8", b"|", b"9" * 12, b"-1", b"to start at 9999-12-31T23:59:59", b"(null)"),
    ),
    Target(
        "machines-kept",
        "`decode_slots`, `decode_handle`, `decode_kept`, `decode_sent`",
        _kept,
        lambda: [b'{"taken":{"0":"r/get"}}', _HANDLE, b'{"handle":' + _HANDLE + b',"owner":"r/get"}', _SENT],
        (b'"taken"', b'"-1"', b'"before"', b"null", b'"machines"', b'"version":2', b"{" * 50, b"\xff"),
    ),
    Target(
        "function-result",
        "`decode_told`",
        _told,
        lambda: [b'{"rows": 3, "said": "done", "ok": true}'],
        (b"null", b"[]", b"1e999", b'"token=abc"', b"{" * 50),
    ),
    Target(
        "webhook-signature",
        "`signature_problem`, `message_id`",
        _signature,
        lambda: ["\n".join(signed_headers([b"secret"], "run/1", b"body", 1_700_000_000).values()).encode()],
        (b"v1,", b"v1a,", b" ", b"0" * 44, b"A", b"\n", b"=", b"."),
    ),
]
