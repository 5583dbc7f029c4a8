"""Makes docs/benchmarks.md and its plots: `python -m benchmarks.report benchmarks/results/full.json`."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from ..results import read_results
from .page import page
from .plots import draw_all

__all__ = ["generate", "main"]

_CHECKOUT = Path(__file__).resolve().parents[2]
_EXPLANATIONS = _CHECKOUT / "benchmarks/explanations.toml"


def generate(path: Path, docs: Path, *, peers: Path | None = None) -> None:
    """Write `docs/benchmarks.md` and `docs/benchmarks/*.svg` from a results file.

    Without Matplotlib here, the Python of the peers' environment does it; without it there, the page has no plots.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        python = shutil.which("python", path=str(peers / "bin")) if peers is not None else None
        if python is not None and Path(python).parent != Path(sys.executable).parent:
            command = [python, "-m", "benchmarks.report", str(path.absolute()), "--docs", str(docs.absolute())]
            subprocess.run(command, check=True, cwd=_CHECKOUT, env=os.environ | {"PYTHONPATH": _python_path()})
            return
    results = read_results(path)
    try:
        plots = draw_all(results, docs / "benchmarks")
    except ImportError:
        sys.stderr.write("no Matplotlib here: the page has no plots\n")
        plots = []
    explanations = tomllib.loads(_EXPLANATIONS.read_text())["misses"]
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "benchmarks.md").write_text(page(results, explanations, plots))


def _python_path() -> str:
    return os.pathsep.join(filter(None, [str(_CHECKOUT), os.environ.get("PYTHONPATH", "")]))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description="The page from the results.")
    parser.add_argument("results", type=Path)
    parser.add_argument("--docs", type=Path, default=_CHECKOUT / "docs")
    options = parser.parse_args(arguments)
    generate(options.results, options.docs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
