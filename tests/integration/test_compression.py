"""What real training state takes: two checkpoints of an AdamW run, ten steps apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.stores.local import LocalStore
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """260 steps of the drill's trainer (1.7 M parameters) at a usual learning rate, constant after warm-up.

    What a checkpoint takes, and what one takes ten steps later, hardly changes after that (it did to step 410).
    """
    folder = tmp_path_factory.mktemp("run")
    trainer = [sys.executable, "-m", "holdfast.drills.trainer", "--dir", str(folder), "--bf16"]
    for more in (
        ["--steps", "250", "--every", "250", "--learning-rate", "3e-4"],
        ["--steps", "260", "--every", "10", "--resume", str(folder / "step-250")],
    ):
        subprocess.run([*trainer, *more], check=True, stdout=subprocess.DEVNULL)
    for step in (250, 260):
        for name in ("full", "bf16"):
            (folder / f"{name}-{step}").mkdir()
        for name in ("model.safetensors", "optimizer.safetensors"):
            (folder / f"step-{step}/{name}").rename(folder / f"full-{step}/{name}")
        (folder / f"step-{step}/model_bf16.safetensors").rename(folder / f"bf16-{step}/model.safetensors")
    return folder


def stored_share(trial: TrialVault, source: Path) -> float:
    """Bytes that a save adds to the store (everything: packs, manifests, root, pointers), per byte of the source."""

    def size() -> int:
        return sum(info.size for info in trial.store.list(""))

    before = size()
    trial.open().save("run", source)
    return (size() - before) / sum(path.stat().st_size for path in source.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "fresh", "later"), [("full", 0.83, 0.80), ("bf16", 0.69, 0.39)])
def test_ten_steps_later_takes_less(kind: str, fresh: float, later: float, run: Path, tmp_path: Path) -> None:
    with own_memory(tmp_path / "state"):
        trial = new_trial_vault(LocalStore(tmp_path / "vault"))
        assert stored_share(trial, run / f"{kind}-250") <= fresh
        assert stored_share(trial, run / f"{kind}-260") <= later


@pytest.mark.slow
def test_the_same_again_takes_next_to_nothing(run: Path, tmp_path: Path) -> None:
    with own_memory(tmp_path / "state"):
        trial = new_trial_vault(LocalStore(tmp_path / "vault"))
        stored_share(trial, run / "full-260")
        assert stored_share(trial, run / "full-260") < 0.001
