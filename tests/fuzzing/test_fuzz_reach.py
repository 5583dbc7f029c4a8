"""Every function that decodes bytes from outside is reached by a fuzz target, or says here why it need not be.

What decodes is found by the calls that it makes; what is reached is seen while seeds and corpus run.
"""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import pytest
from fuzz.corpus import kept
from fuzz.targets import TARGETS

import holdfast
from holdfast.errors import HoldfastError
from holdfast.testing.workspace import own_memory

PACKAGE = Path(holdfast.__file__).parent
NOT_LOOKED_AT = ("testing", "cli/schemas")  # test doubles; the schemas of our own output

# `object.method` or `function` → decodes. A `*` stands for any object.
DECODING = {
    "msgspec.json.decode",
    "msgspec.msgpack.decode",
    "msgspec.convert",
    "json.loads",
    "json.load",
    "yaml.parse",
    "yaml.compose",
    "yaml.safe_load",
    "*.get_single_node",
    "np.frombuffer",
    "np.load",
    "pickle.loads",
    "ast.literal_eval",
    "literal_eval",
    "tomllib.loads",
    "datetime.fromisoformat",
    "int.from_bytes",
    "decode_record",
    "read_document",
    "*.unpack",
    "*.unpack_from",
    "*.iter_unpack",
    "*.fullmatch",
    "*.read_magic",
    "zlib.decompressobj",
    "_DECODER.decode",
}

EXEMPT = {
    "catalog/projecting.py:_said_by_pointers": "a row of the catalog's own, made of a pointer that was read",
    "control/cataloguing/meaning.py:incidents": "a row of the catalog's own, made of a notice that was read",
    "vault/access/site_notices.py:open_notice": "`read_document` and `decode_notice` are targets",
    "control/snapshots/snapshot_files.py:readinto": "a buffer of the caller's, to be filled",
    "cli/launcher.py:serve": "a pipe from the drill that started it",
    "control/drilling/copying.py:copy_into": "what a process of the drill's own said",
    "control/drilling/recording.py:main": "facts that the drill wrote a moment before",
    "drills/trial/commands.py:_data": "what a command of the drill's own said",
    "drills/trial/commands.py:_read": "a pipe from the launcher that the drill started",
    "drills/trial/writer.py:last_step": "the heartbeat of the trial's own work",
    "drills/chaos/calling.py:_python": "what a function returned that the user named: JSON or refused",
    "drills/story/plot.py:_losses": "the log of the demo's own trainer",
    "drills/story/plot.py:_verify": "the demo's own checkpoint, after it was compared byte for byte",
    "drills/trainer/checkpoint.py:_fill": "bytes that `read_tensors` has measured, which is a target",
    "drills/trainer/checkpoint_files.py:complete_checkpoints": "names in the demo's own folder",
    "drills/trainer/text.py:__init__": "the demo's own text",
    "training/circumstances/environment.py:environment_here": "names of variables, against the list of those kept",
    "training/executing/worker.py:main": "a pipe from the process that started this one",
    "training/saving/accelerator.py:__init__": "our own shared memory, as room for what is copied",
    "training/saving/accelerator.py:forget_registered": "the same",
    "training/saving/staging.py:stage": "the same",
    "training/states/files.py:_is_legal": "a key of the state that is saved",
    "training/groups/guardian.py:listen": "a pipe from the process that started this one",
    "training/groups/hooks.py:_listen": "a pipe from our own guardian",
    "control/evidencing/sealing.py:open_kept": "`read_document` and `decode_kept` are targets",
    "control/hooks/finding.py:_of_evidence": "`decode_kept`, `decode_record` and `evidence_events` are targets",
    "control/evidencing/writing.py:earlier_records": "`verify_files` and `decode_record` are targets",
    "control/incidents/documents.py:_time_in": "the end of a key, against one pattern; what does not match is old",
    "control/incidents/documents.py:open_signed": "`read_document` is a target, and so is what decodes its body",
    "control/remote/client.py:_decoded": "a record of `cli/schemas`: msgspec alone, refused where it is none",
    "control/remote/logins.py:login_of": "a private file of this user's own",
    "infra/calling/run_python.py:main": "a pipe from the process that started this one",
    "infra/compute/local.py:_code": "a private file that the launcher of this user wrote",
    "infra/compute/local.py:_signal": "the same",
    "web/api/verbs.py:_converted": "schemathesis sends all that OpenAPI allows, and what it does not",
    "web/security/authenticating.py:_by_session": "a secret of one form, looked up; `decode_known` is a target",
    "web/security/authenticating.py:identify_credential": "the same, of a token",
    "web/security/devices.py:ask_for_code": "a label against one pattern",
    "vault/locking/moments.py:_is_root": "a root, read by `read_document`, which is a target",
}


class Function(NamedTuple):
    file: str  # below the package
    line: int  # where its code object begins
    name: str

    @property
    def label(self) -> str:
        return f"{self.file}:{self.name}"


def decoders() -> dict[Function, set[str]]:
    """Each function with such a call → the calls."""
    found: dict[Function, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(NOT_LOOKED_AT):
            for function, call in calls_in(ast.parse(path.read_text("utf-8")), name, None):
                found.setdefault(function, set()).add(call)
    return found


def calls_in(node: ast.AST, file: str, inside: Function | None) -> Iterator[tuple[Function, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            line = min([child.lineno, *(one.lineno for one in child.decorator_list)])
            yield from calls_in(child, file, Function(file, line, child.name))
            continue
        if isinstance(child, ast.Call) and inside is not None:
            call = ast.unparse(child.func)
            if call in DECODING or f"*.{call.rpartition('.')[2]}" in DECODING:
                yield inside, call
        yield from calls_in(child, file, inside)


def reached() -> set[tuple[str, int]]:
    """(file, first line) of every function of the package that runs in a target."""
    seen: set[tuple[str, int]] = set()

    def called(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        seen.add((code.co_filename, code.co_firstlineno))

    inputs = [(target, data) for target in TARGETS.values() for data in (*target.seeds(), *kept(target.name))]
    before = sys.gettrace()
    threading.settrace(called)  # type: ignore[arg-type]  # no lines are asked for
    sys.settrace(called)  # type: ignore[arg-type]
    try:
        for target, data in inputs:
            with suppress(HoldfastError):
                target.run(data)
    finally:
        sys.settrace(before)
        threading.settrace(None)  # type: ignore[arg-type]
    return seen


def test_every_decoder_is_reached_by_a_target(tmp_path: Path) -> None:
    found = decoders()
    with own_memory(tmp_path / "state"):
        ran = {(str(Path(file).relative_to(PACKAGE).as_posix()), line) for file, line in reached() if in_package(file)}
    missing = {one.label for one in found if (one.file, one.line) not in ran}
    unreached = sorted(missing - EXEMPT.keys())
    assert not unreached, f"no fuzz target reaches {unreached}: add one, or say in EXEMPT why not"
    spare = sorted(EXEMPT.keys() - missing)
    assert not spare, f"{spare} are reached, or decode nothing any more: take them out of EXEMPT"


def in_package(file: str) -> bool:
    return file.startswith(f"{PACKAGE}/")


def test_the_search_finds_decoders() -> None:
    labels = {one.label for one in decoders()}
    assert labels >= {
        "strict_yaml.py:compose",
        "vault/retaining/planning.py:decode_plan",
        "vault/saving/history.py:rows",
        "vault/format/header.py:parse",
    }
    assert len(labels) > 40


@pytest.mark.parametrize("call", ["json.loads(x)", "thing.unpack(x)", "decode_record(x, y, z)"])
def test_a_new_decoder_is_seen(call: str) -> None:
    tree = ast.parse(f"class A:\n    @cached\n    def f(self, x):\n        return [{call} for _ in x]\n")
    assert list(calls_in(tree, "a.py", None)) == [(Function("a.py", 2, "f"), call.partition("(")[0])]
