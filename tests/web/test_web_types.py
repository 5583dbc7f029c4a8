"""What two threads decode for the first time at once does not end the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MODULE = """
import msgspec
for at in range(20):
    globals()[f"Inner{at}"] = msgspec.defstruct(f"Inner{at}", [(f"f{one}", int, 0) for one in range(20)])
Outer = msgspec.defstruct(
    "Outer",
    [(f"g{at}", list[globals()[f"Inner{at}"]], msgspec.field(default_factory=list)) for at in range(20)],
    module=__name__,
)
"""
MAIN = """
import importlib, sys, threading
import msgspec, holdfast
from holdfast.control.service.warming import warm_types
holdfast.__path__.append(sys.argv[1])
warm_types()
sys.setswitchinterval(1e-6)
for number in range(60):
    outer = importlib.import_module(f"holdfast.shown{number}").Outer
    gate = threading.Barrier(4)
    def decode():
        gate.wait()
        msgspec.json.decode(b'{"g19": [{"f3": 1}], "g3": [{"f19": 1}]}', type=outer)
    threads = [threading.Thread(target=decode) for _ in range(4)]
    for one in threads: one.start()
    for one in threads: one.join()
print("whole")
"""


def test_types_of_modules_that_are_imported_later_are_worked_out_once(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"shown{number}.py").write_text(MODULE)
    ended = subprocess.run(
        [sys.executable, "-c", MAIN, str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "whole\n"), ended.stderr
