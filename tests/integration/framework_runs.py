"""An example that trains, in processes that really die: undisturbed (`calm`), `killed`, started again with nothing left
but the vault (`resumed`), and once more after the newest snapshot was damaged (`fallen-back`).

    python framework_runs.py EXAMPLE FOLDER

`run_story` does that for a test, and `check_story` compares. The framework is imported once, and each run is a fork of
that: importing takes longer than training. Vaults, their keys and all state lie in FOLDER.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]


def run_story(
    example: str, folder: Path, *, python: str = sys.executable, limit_seconds: float = 300
) -> dict[str, Any]:
    """What the story told, as JSON. Raises AssertionError with all output when a process did not end as it should."""
    homes = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("STATE", "CACHE", "CONFIG")}
    quiet = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    quiet |= {"JAX_PLATFORMS": "cpu"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    done = subprocess.run(
        [python, __file__, example, str(folder)],
        env=inherited | homes | quiet,
        capture_output=True,
        text=True,
        timeout=limit_seconds,
        check=False,
    )
    output = f"{done.stdout}\n{done.stderr}\n" + "\n".join(log.read_text() for log in sorted(folder.glob("*.log")))
    assert done.returncode == 0, output
    return json.loads(done.stdout.splitlines()[-1])


def check_story(told: dict[str, Any], folder: Path, same: Callable[[Path, Path], bool]) -> None:
    """Both runs that were started again went on from a snapshot, ended as the undisturbed one, and told what they
    should.

    `same` compares the weights in two folders of results.
    """
    assert not (folder / "killed").exists(), "the killed run had come to its end"
    for run in ("resumed", "fallen-back"):
        assert same(folder / "calm", folder / run), f"the weights of {run} differ"
        assert (folder / run / "losses.json").read_bytes() == (folder / "calm" / "losses.json").read_bytes(), run
        assert told[run]["saves"] < told["calm"]["saves"], f"{run} began anew"
        assert told[run]["last_durable_step"] == told["calm"]["last_durable_step"]
        # Steps take milliseconds here: folders that still wait may give way to newer ones.
        assert told[run]["failed"] == told[run]["troubles"].get("superseded", 0)
    assert told["resumed"]["troubles"].keys() <= {"superseded"}
    assert f"passed over: step {told['damaged']}" in (folder / "fallen-back.log").read_text()
    assert "passed over" not in (folder / "resumed.log").read_text()


def load_example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def forked(run: Callable[[], object], log: Path) -> int:
    """The exit status of a process that runs it (negative: the signal that ended it). Its output goes to `log`."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            with log.open("ab") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            run()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            import atexit

            sys.stdout.flush()
            sys.stderr.flush()
            atexit._run_exitfuncs()
            os._exit(status)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status)


def tell(example: ModuleType, folder: Path) -> dict[str, object]:
    import holdfast

    # A vault each: what both runs learn is the same, and would be stored once.
    vaults = {name: str(folder / f"vault-{name}") for name in ("calm", "killed")}
    output = folder / "output"
    for url in vaults.values():
        holdfast.create(url)

    def run(vault: str, result: str, *more: str) -> int:
        shutil.rmtree(output, ignore_errors=True)
        arguments = ["--vault", vaults[vault], "--output", str(output), "--result", str(folder / result), *more]
        return forked(lambda: example.main(arguments), folder / f"{result}.log")

    assert run("calm", "calm") == 0, "the undisturbed run failed"
    assert run("killed", "killed", "--kill-at", "13") == -signal.SIGKILL, "the run was not killed"
    assert run("killed", "resumed") == 0, "the resumed run failed"
    damaged = damage_newest(vaults["killed"])
    assert run("killed", "fallen-back") == 0, "the run that should fall back failed"
    logs = {log: last_json(folder / f"{log}.log") for log in ("calm", "resumed", "fallen-back")}
    return {"damaged": damaged, **logs}


def damage_newest(url: str) -> int:
    """Flipped bits in every pack that was written for the newest snapshot. Its step."""
    import holdfast

    before, newest = [one.root for one in holdfast.open(url).snapshots() if one.root is not None][-2:]
    packs = [path for path in (Path(url) / "packs").rglob("*") if path.is_file()]
    written = [path for path in packs if path.stat().st_mtime_ns > before.created]
    assert written and newest.step is not None
    for pack in written:
        data = bytearray(pack.read_bytes())
        for place in range(100, len(data), 256):
            data[place] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(data)
    return newest.step


def last_json(log: Path) -> object:
    return json.loads([line for line in log.read_text().splitlines() if line.startswith('{"asset"')][-1])


if __name__ == "__main__":
    warnings.filterwarnings("error", module=r"holdfast\b")
    module = load_example(sys.argv[1])
    print(json.dumps(tell(module, Path(sys.argv[2]))))
