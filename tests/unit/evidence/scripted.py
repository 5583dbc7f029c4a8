"""The stand-alone verifier as a module: a process for each try would take minutes."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

SCRIPT = Path(__file__).parents[3] / "docs" / "verify-evidence.py"


def loaded_script() -> ModuleType:
    module = ModuleType("verify_evidence_script")
    exec(compile(SCRIPT.read_text(), str(SCRIPT), "exec"), module.__dict__)
    return module


def by_script(script: ModuleType, files: dict[str, bytes], where: Any, **options: Any) -> None:
    """Raises whatever the script ends with 1 for."""
    folder = Path(where) / "bundle"
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    usual: dict[str, Any] = {"folder": str(folder), "signer": None, "log_key": [], "witness": [], "quorum": 0}
    script.verify(type("Options", (), usual | {"require_log": False} | options))
