"""A language model trained by transformers' Trainer, protected by one callback: kill it at any time and start it again.

    python examples/hf_trainer.py --vault VAULT --output OUT [--steps 24] [--kill-at 14] [--result RESULT]

The vault is an existing one (`holdfast vault create VAULT`). Whether OUT is still there at the second start does not
matter. With --kill-at the process kills itself (SIGKILL) at the end of that step, once a checkpoint is in the vault.
RESULT gets the final weights and the loss of every step, which are the same bytes however often the training was
killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import set_seed

from holdfast.training.callbacks.transformers import HoldfastCallback


class Dies(TrainerCallback):
    """As a machine does that is taken away: without a word, at the end of a step."""

    def __init__(self, step: int, holdfast: HoldfastCallback) -> None:
        self._step, self._holdfast = step, holdfast

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self._step:
            while self._holdfast.stats()["last_durable_step"] is None:
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)


def sentences(count: int = 64, length: int = 16, words: int = 64) -> list[dict[str, torch.Tensor]]:
    """Sequences in which each word depends on the one before, so that there is something to learn."""
    random = torch.Generator().manual_seed(1)
    starts = torch.randint(words, (count, 1), generator=random)
    ids = (starts + 5 * torch.arange(length)) % words
    return [{"input_ids": row, "labels": row} for row in ids]


def main(arguments: list[str] | None = None) -> HoldfastCallback:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--vault", required=True)
    parser.add_argument("--output", required=True, type=Path, help="where the Trainer writes its checkpoints")
    parser.add_argument("--asset", default="llm")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--save-every", type=int, default=5)
    parser.add_argument("--kill-at", type=int, default=0, metavar="STEP")
    parser.add_argument("--result", type=Path)
    options = parser.parse_args(arguments)

    set_seed(7)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_layer=2, n_head=2))
    settings = TrainingArguments(
        output_dir=str(options.output),
        max_steps=options.steps,
        per_device_train_batch_size=4,
        learning_rate=3e-3,
        logging_steps=1,
        save_steps=options.save_every,
        save_total_limit=1,
        seed=7,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )

    holdfast = HoldfastCallback(options.vault, asset=options.asset)  # 1
    trainer = Trainer(model=model, args=settings, train_dataset=sentences(), callbacks=[holdfast])
    if options.kill_at:
        trainer.add_callback(Dies(options.kill_at, holdfast))
    trainer.train(resume_from_checkpoint=holdfast.resume(options.output))  # 2

    if options.result is not None:
        options.result.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(options.result)
        losses = {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}
        (options.result / "losses.json").write_text(json.dumps(losses))
    print(json.dumps(holdfast.stats()))
    return holdfast


if __name__ == "__main__":
    main()
