"""Command line of the drill's trainer. stdout: one JSON object per step. Exit codes as everywhere in Holdfast."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from holdfast.errors import HoldfastError

__all__ = ["main"]

# With one thread a sum is always taken in the same order, so that runs are bit-identical. NumPy's BLAS reads these
# once, when it is loaded: nothing above this line may import NumPy.
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, train, and return the exit code."""
    options = _parser().parse_args(arguments)
    for name in _THREAD_VARIABLES:
        os.environ[name] = "1"
    from holdfast.drills.trainer.loop import Settings, StopRequest, train

    stop = StopRequest()
    stop.listen()
    settings = Settings(
        folder=options.dir,
        steps=options.steps,
        every=options.every,
        seed=options.seed,
        resume=options.resume,
        bf16=options.bf16,
        size=options.size,
        pace_seconds=options.pace,
        learning_rate=options.learning_rate,
        save_on_stop=options.save_on_stop,
    )
    try:
        train(settings, stop)
    except HoldfastError as error:
        sys.stderr.write(f"error: {error}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m holdfast.drills.trainer", description="A small real training run.")
    parser.add_argument("--dir", type=Path, required=True, help="folder that receives step-N/ and heartbeat.json")
    parser.add_argument("--steps", type=_positive, required=True, help="last step, counted from the start of the run")
    parser.add_argument("--every", type=_positive, required=True, help="save a checkpoint every so many steps")
    parser.add_argument("--seed", type=int, default=0, help="decides first weights, dropout and order of the text")
    parser.add_argument("--resume", type=Path, help="a complete checkpoint (step-N/) to go on from")
    parser.add_argument("--bf16", action="store_true", help="also write the weights rounded to bfloat16")
    parser.add_argument("--size", choices=["small", "medium"], default="small", help="1.7 or 19 million parameters")
    parser.add_argument("--pace", type=_seconds, default=0.0, help="least seconds that a step takes")
    parser.add_argument(
        "--learning-rate", type=float, help="of AdamW; when resuming, by default that of the checkpoint"
    )
    parser.add_argument("--save-on-stop", action="store_true", help="write a checkpoint when SIGTERM ends it")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < 3600:
        raise argparse.ArgumentTypeError("must be between 0 and 3600 seconds")
    return number


if __name__ == "__main__":
    sys.exit(main())
