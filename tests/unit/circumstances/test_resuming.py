"""States for a resume: taken, saved as plain values and arrays, given back; then the same numbers are drawn."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import holdfast
from holdfast.errors import DamageError, UsageError
from holdfast.training.circumstances import Gatherer, ResumeState, circumstances_of, compare
from holdfast.training.circumstances.environment import environment_here
from holdfast.training.circumstances.layout import layout_here
from holdfast.training.circumstances.randoms import random_states
from holdfast.training.saving.saver import Saver
from holdfast.training.states.arrays import host_view
from holdfast.training.states.files import plan_files
from holdfast.training.states.rebuilding import read_tree, rebuild


class _Loader:
    """As torchdata's loader: it knows where it is."""

    def __init__(self) -> None:
        self.at = 0

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at}

    def load_state_dict(self, state: Any) -> None:
        self.at = state["at"]
        random.random()  # members may draw while they load


def _generators() -> dict[str, Any]:
    return {
        "numpy": np.random.default_rng(3),
        "philox": np.random.Generator(np.random.Philox(3)),
        "mt": np.random.Generator(np.random.MT19937(3)),
        "legacy": np.random.RandomState(3),
        "python": random.Random(3),
        "torch": torch.Generator().manual_seed(3),
    }


def _drawn(generators: dict[str, Any]) -> list[float]:
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.random()),
        float(np.random.standard_normal()),
        float(torch.rand(())),
        float(generators["numpy"].random()),
        float(generators["philox"].random()),
        float(generators["mt"].random()),
        float(generators["legacy"].standard_normal()),
        generators["python"].gauss(0, 1),
        float(torch.rand((), generator=generators["torch"])),
    ]


def test_the_same_numbers_are_drawn_again() -> None:
    generators, loader = _generators(), _Loader()
    _drawn(generators)  # with half a pair of Gaussians kept back in most of them
    loader.at = 41
    states = ResumeState(generators=generators, dataloader=loader).state_dict()
    expected = _drawn(generators)
    _drawn(generators)
    other, other_loader = _generators(), _Loader()
    left = ResumeState(generators=other, dataloader=other_loader).load_state_dict(states)
    assert left == [] and other_loader.at == 41
    assert _drawn(other) == expected


def test_they_survive_what_is_written_to_disk() -> None:
    """Through the project's own files for states: the numbers are the same after that."""
    generators = _generators()
    _drawn(generators)
    planned = plan_files(ResumeState(generators=generators).state_dict())
    arrays = {
        (file.name, piece.name): np.array(host_view(piece.value, piece.name))
        for file in planned.files
        for piece in file.pieces
    }
    back = rebuild(read_tree(planned.document), lambda key: arrays[tuple(key)])
    expected = _drawn(generators)
    other = _generators()
    ResumeState(generators=other).load_state_dict(back)
    assert _drawn(other) == expected


def test_torch_objects_go_as_they_are() -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    optimizer.step()
    scheduler.step()
    states = ResumeState(scheduler=scheduler, outer=optimizer).state_dict()
    other = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=1.0, momentum=0.9)
    resumed = torch.optim.lr_scheduler.StepLR(other, 1, 0.5)
    ResumeState(scheduler=resumed, outer=other).load_state_dict(states)
    assert resumed.last_epoch == 1 and other.param_groups[0]["lr"] == 0.5


def test_half_of_a_state_is_refused_before_anything_changes() -> None:
    states = ResumeState(dataloader=_Loader()).state_dict()
    expected = random.getstate()
    with pytest.raises(DamageError, match="scheduler: the snapshot has none"):
        ResumeState(dataloader=_Loader(), scheduler=_Loader()).load_state_dict(states)
    with pytest.raises(DamageError, match="dataloader: not handed in"):
        ResumeState().load_state_dict(states)
    assert random.getstate() == expected
    assert ResumeState().load_state_dict(states, strict=False) == ["dataloader: not handed in here"]


def test_generators_that_are_missing_are_told() -> None:
    states = ResumeState(generators={"a": random.Random(1)}).state_dict()
    assert ResumeState(generators={"b": random.Random(1)}).load_state_dict(states) == [
        "generator b: the snapshot has none",
        "generator a",
    ]


def test_states_that_are_none() -> None:
    resume = ResumeState(generators={"n": np.random.default_rng(1)})
    good = resume.state_dict()
    for wrong in (
        {},
        {"random": 5},
        {"random": {**good["random"], "python": {"version": 3, "words": [1], "gauss": None}}},
        {"random": {**good["random"], "torch": [1, 2]}},
        {"random": {**good["random"], "generators": {"n": {"bit_generator": "MT19937"}}}},
        {"random": {**good["random"], "numpy": {"bit_generator": "MT19937", "state": {"key": [1]}}}},
    ):
        with pytest.raises(DamageError):
            resume.load_state_dict(wrong)


def test_members_without_a_state_are_refused_at_once() -> None:
    with pytest.raises(UsageError, match="dataloader is a list") as refused:
        ResumeState(dataloader=[1, 2])
    assert "StatefulDataLoader" in refused.value.hint
    with pytest.raises(UsageError):
        ResumeState(generators={"x": object()})
    with pytest.raises(UsageError):
        ResumeState(random=_Loader())


def test_torch_is_not_imported_for_it() -> None:
    code = (
        "import sys; from holdfast.training.circumstances import ResumeState, gather; ResumeState().state_dict();"
        "gather(1, resume=ResumeState()); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_global_states_of_libraries_are_in_it() -> None:
    assert {"python", "numpy", "torch"} <= set(random_states())


def test_torch_distributed_and_its_meshes_are_the_layout(tmp_path: Path) -> None:
    """A real process group of one, with a real mesh over it; and torch's switches in the environment."""
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh

    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        found = layout_here(init_device_mesh("cpu", (1, 1), mesh_dim_names=("dp", "tp")))
        assert (found.dims, found.world, found.rank) == ({"dp": 1, "tp": 1}, 1, 0)
        assert (found.source, found.backend) == ("torch.distributed", "gloo")
    finally:
        distributed.destroy_process_group()
    before = environment_here({}).settings
    torch.use_deterministic_algorithms(True)
    try:
        after = environment_here({}).settings
    finally:
        torch.use_deterministic_algorithms(False)
    assert before["torch.deterministic_algorithms"] == "False" != after["torch.deterministic_algorithms"]
    assert before["torch.default_dtype"] == "torch.float32" and environment_here({}).settings == before


def test_a_state_on_disk_and_its_circumstances_continue_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Train, save by `Saver` with circumstances, go on; the same from the restored state gives the same bits."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    vault = holdfast.create(tmp_path / "vault")

    def run() -> tuple[Any, Any, ResumeState]:
        torch.manual_seed(5)
        random.seed(5)
        model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
        return model, optimizer, ResumeState(scheduler=scheduler, generators={"data": data})

    def step(model: Any, optimizer: Any, resume: ResumeState) -> None:
        batch = torch.from_numpy(data.normal(size=(16, 8)).astype("f4")) * random.random()
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()
        resume._members["scheduler"].step()

    data = np.random.default_rng(1)
    model, optimizer, resume = run()
    for _ in range(5):
        step(model, optimizer, resume)
    gatherer = Gatherer(resume=resume, hyperparameters={"lr": 1e-2}, code=tmp_path)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "resume": resume.state_dict()}
    with Saver(vault, asset="run", circumstances=gatherer) as saver:
        saver.save(state, step=5)
        assert saver.wait(60) and saver.last_durable_step == 5
    for _ in range(5):
        step(model, optimizer, resume)
    expected = {name: value.clone() for name, value in model.state_dict().items()}

    data = np.random.default_rng(2)
    model, optimizer, resume = run()
    with Saver(vault, asset="run") as saver:
        back = saver.restore()
    model.load_state_dict(back["model"])
    optimizer.load_state_dict(back["optimizer"])
    assert resume.load_state_dict(back["resume"]) == []
    for _ in range(5):
        step(model, optimizer, resume)
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    stored = circumstances_of(vault, vault.find("run"))
    assert stored is not None and stored.step == 5 and stored.hyperparameters == {"lr": "0.01"}
    assert {"scheduler", "random"} <= set(stored.states)
    assert "torch" in vault.find("run").versions and compare(stored, gatherer.gather(6).circumstances) == []
