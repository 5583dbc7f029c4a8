"""PyTorch's distributed checkpoints through a vault, in one process: what comes back, what is refused, at what size."""

from __future__ import annotations

import logging
import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast.errors import ConflictError, CredentialError, DamageError, MissingExtraError, NotFoundError, UsageError
from holdfast.stores.local import LocalStore
from holdfast.testing.invariants import check_is_clean
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.access.members import admit_reader, admit_writer
from holdfast.vault.format.names import PACKS

torch = pytest.importorskip("torch")
import torch.distributed.checkpoint as dcp  # noqa: E402
from benchmarks.bit_flips import Trial, flipped, flips  # noqa: E402
from torch.distributed.checkpoint.api import CheckpointException  # noqa: E402
from torch.distributed.checkpoint.planner import LoadPlan  # noqa: E402

from holdfast.training.dcp import VaultReader, VaultWriter, load  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled", "ignore:TypedStorage is deprecated")
ASSET = "run"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    logging.disable(logging.WARNING)  # torch logs with a traceback what it then raises
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def trial(tmp_path: Path) -> TrialVault:
    return new_trial_vault(LocalStore(tmp_path / "vault"))


def save(vault: Any, state: dict[str, Any], step: int, **options: Any) -> VaultWriter:
    writer = VaultWriter(vault, ASSET, step=step, **options)
    dcp.save(state, storage_writer=writer, no_dist=True)
    return writer


def loaded(vault: Any, state: dict[str, Any], **options: Any) -> VaultReader:
    reader = VaultReader(vault, ASSET, **options)
    dcp.load(state, storage_reader=reader, no_dist=True)
    return reader


def octets(tensor: Any) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def test_every_dtype_and_shape_comes_back(trial: TrialVault) -> None:
    names = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
    names += ["complex64", "complex128", "float8_e4m3fn", "float8_e5m2"]
    drawn = torch.Generator().manual_seed(1)
    state: dict[str, Any] = {"t": {}, "shapes": {}}
    for name in names:
        kind = getattr(torch, name)
        plain = torch.randint(0, 200 if name == "uint8" else 100, (5, 7), generator=drawn)
        state["t"][name] = plain.bool() if name == "bool" else plain.to(kind)
    base = torch.arange(24.0).reshape(4, 6)
    state["shapes"] = {
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "column": base[:, 1:3],
        "turned": base.T,
        "expanded": torch.ones(1, 3).expand(4, 3),
    }
    save(trial.open(), state, 1)
    wanted = {part: {name: tensor.clone() for name, tensor in found.items()} for part, found in state.items()}
    blank = {part: {name: torch.zeros_like(tensor) for name, tensor in found.items()} for part, found in wanted.items()}
    loaded(trial.open(), blank)
    for part, found in wanted.items():
        for name, tensor in found.items():
            assert blank[part][name].dtype == tensor.dtype and octets(blank[part][name]) == octets(tensor), name


def test_plain_values_come_back_and_nothing_is_unpickled(trial: TrialVault, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "step": 7,
        "nothing": None,
        "rates": (1e-3, float("inf"), -0.0),
        "names": ["a", {"b": (1, 2)}],
        "by number": ({0: "x"}, b"\0\xff"),
        "dtype": torch.bfloat16,
        "size": torch.Size([2, 3]),
        "generator": np.random.get_state(),
        "big": 1 << 80,
        "pairs": (OrderedDict(z=1, a=2), {"a"}),
    }
    save(trial.open(), {"values": values}, 1)
    blank: dict[str, Any] = {"values": emptied(values)}
    files = trial.open().files(trial.open().find(ASSET))
    assert not any(name.path.endswith((b".metadata", b".distcp", b".pt")) for name in files)
    loaded(trial.open(), blank)
    got = blank["values"]
    assert repr({**got, "generator": None}) == repr({**values, "generator": None})
    np.testing.assert_array_equal(got["generator"][1], values["generator"][1])  # type: ignore[index]


def emptied(value: Any) -> Any:
    """The same structure, as torch flattens it, without what is in it."""
    if isinstance(value, dict):
        return {key: emptied(inner) for key, inner in value.items()}
    return [emptied(inner) for inner in value] if isinstance(value, list) else None


class Thing:
    """A class of the user's own."""


def test_what_has_no_safe_form_is_refused_by_name_before_anything_is_written(trial: TrialVault) -> None:
    sparse = torch.eye(3).to_sparse()
    for state, said in (
        ({"inner": {"thing": Thing()}}, "inner.thing"),
        ({"inner": {"hook": lambda: 1}}, "inner.hook"),
        ({"sparse": sparse}, "sparse"),
    ):
        with pytest.raises(CheckpointException) as raised:
            save(trial.open(), {"fine": torch.ones(9), **state}, 1)
        [(error, _)] = raised.value.failures.values()
        assert isinstance(error, UsageError) and said in error.message and error.hint
    assert not list(trial.store.list(PACKS)) and not trial.open().snapshots()


def test_a_step_more_stores_little(trial: TrialVault) -> None:
    """bf16 weights and full moments, late in a training: most bits of the next step are those of the last one."""
    drawn = torch.Generator().manual_seed(3)
    weights = torch.randn(768, 1024, generator=drawn)
    state = {"model": {"w": weights.bfloat16()}, "optim": {"m": weights * 1e-3, "v": weights.abs() * 1e-6}}
    fresh = save(trial.open(), state, 1).assembled
    for part, name, by in (("model", "w", 2e-3), ("optim", "m", 1e-3), ("optim", "v", 1e-3)):
        noise = torch.randn(768, 1024, generator=drawn)
        state[part][name] = (state[part][name].float() * (1 + by * noise)).to(state[part][name].dtype)
    more = save(trial.open(), state, 2).assembled
    same = save(trial.open(), state, 3).assembled
    assert fresh is not None and more is not None and same is not None
    stats = [one.root.stats for one in (fresh, more, same) if one.root is not None]
    assert stats[0]["raw_planes"] == stats[0]["raw"] - stats[0]["raw_zstd"] - stats[0]["raw_raw"]
    assert stats[1]["raw_delta"] > 0.99 * stats[1]["raw"] and stats[1]["stored"] < 0.6 * stats[0]["stored"], stats
    assert stats[2]["stored"] < 0.02 * stats[0]["stored"]
    check_is_clean(trial.open())


def test_tensors_that_are_missing_or_changed_are_findings(trial: TrialVault) -> None:
    state = {"model": {"a": torch.ones(100, 3), "b": torch.ones(200)}}
    save(trial.open(), state, 1)
    worse = {"model": {"a": torch.full((100, 3), torch.nan)}}
    done = save(trial.open(), worse, 2).assembled
    assert done is not None and done.root is not None and not done.validated
    found = {(one.check, one.where) for one in done.root.validation.findings}
    assert ("missing-tensor", "model.b") in found
    assert any(check == "non-finite" and where.endswith("model.a") for check, where in found)
    assert trial.open().find(f"{ASSET}@validated").step == 1


def test_a_key_that_may_only_add(trial: TrialVault) -> None:
    """It saves, and the second time it stores nothing that it stored before; it loads nothing."""
    writer = admit_writer(trial.open().handle, "trainer")
    state = {"model": {"w": torch.randn(300, 300)}}
    save(trial.open(writer), state, 1)
    done = save(trial.open(writer), state, 2).assembled
    assert done is not None and done.root is not None and done.root.stats["dedup"] > 360_000 - 1000
    assert done.latest and done.validated
    with pytest.raises(CheckpointException) as raised:
        loaded(trial.open(writer), {"model": {"w": torch.zeros(300, 300)}})
    assert "may only add" in str(raised.value)
    with pytest.raises(CredentialError):
        VaultReader(trial.open(writer), ASSET).read_metadata()
    blank = {"model": {"w": torch.zeros(300, 300)}}
    assert loaded(trial.open(admit_reader(trial.open().handle, "eval")), blank).root.step == 2  # type: ignore[union-attr]
    assert torch.equal(blank["model"]["w"], state["model"]["w"])


def test_steps_snapshots_and_the_newest(trial: TrialVault, tmp_path: Path) -> None:
    vault = trial.open()
    vault.save(ASSET, {"other": np.ones(3)}, step=9)  # the same asset, saved in another way
    (tmp_path / "dcp").mkdir()
    vault.save(ASSET, tmp_path / "dcp", step=10, policy="quarantine", verify=False)
    writers = [save(vault, {"w": torch.full((4,), float(step))}, step) for step in (1, 2, 3)]
    blank = {"w": torch.zeros(4)}
    assert loaded(vault, blank).root.step == 3 and blank["w"][0] == 3  # type: ignore[union-attr]
    loaded(vault, blank, step=1)
    assert blank["w"][0] == 1
    second = writers[1].assembled
    assert second is not None
    loaded(vault, blank, snapshot=second.snapshot)
    assert blank["w"][0] == 2
    dcp.load(blank, checkpoint_id="runs/a/step-1", storage_reader=VaultReader(vault, ASSET), no_dist=True)
    assert blank["w"][0] == 1
    dcp.save({"w": torch.ones(4)}, checkpoint_id="x/17", storage_writer=VaultWriter(vault, ASSET), no_dist=True)
    assert vault.find(ASSET).step == 17
    vault.quarantine(f"{ASSET}@step=17", "not to be trusted")
    assert loaded(vault, blank).root.step == 3  # type: ignore[union-attr]
    with pytest.raises(NotFoundError, match="step 4"):
        VaultReader(vault, ASSET, step=4).read_metadata()
    with pytest.raises(UsageError):
        VaultReader(vault, ASSET, step=1, snapshot="x")
    with pytest.raises(UsageError, match="does not end"):
        VaultWriter(vault, ASSET).reset("latest")
    with pytest.raises(UsageError):
        VaultWriter(vault, ASSET, step="seven")  # type: ignore[arg-type]


def test_a_writer_travels_as_its_url(trial: TrialVault, tmp_path: Path) -> None:
    holdfast.create(str(tmp_path / "own"))
    writer = save(str(tmp_path / "own"), {"w": torch.ones(3)}, 4)
    writer.step = 5
    sent = pickle.dumps(writer)
    assert holdfast.open(str(tmp_path / "own")).handle.keys.chunk_id_key not in sent
    again = pickle.loads(sent)
    dcp.save({"w": torch.ones(3)}, storage_writer=again, no_dist=True)
    assert [one.root.step for one in holdfast.open(str(tmp_path / "own")).snapshots() if one.root] == [4, 5]
    with pytest.raises(UsageError, match="open vault"):
        pickle.dumps(VaultWriter(trial.open(), ASSET))


def test_ranks_that_chose_different_snapshots_load_none(trial: TrialVault) -> None:
    plans = [LoadPlan([], storage_data=snapshot) for snapshot in ("one", "one", "another")]
    reader = VaultReader(trial.open(), ASSET)
    with pytest.raises(ConflictError, match="2 different snapshots"):
        reader.prepare_global_plan(plans)
    assert reader.prepare_global_plan(plans[:2]) == plans[:2]


def test_a_planner_that_changes_what_it_hands_out(trial: TrialVault) -> None:
    """Its bytes are looked at without running any code: what is no plain value there is refused."""

    class Rounded(dcp.DefaultSavePlanner):
        def transform_object(self, write_item: Any, object: Any) -> Any:
            return super().transform_object(write_item, round(object) if isinstance(object, float) else object)

    dcp.save({"x": 2.25}, storage_writer=VaultWriter(trial.open(), ASSET), planner=Rounded(), no_dist=True)
    blank = {"x": 0.0}
    loaded(trial.open(), blank)
    assert blank == {"x": 2}
    with pytest.raises(CheckpointException, match="thing cannot be saved"):
        dcp.save({"thing": Thing()}, storage_writer=VaultWriter(trial.open(), ASSET), planner=Rounded(), no_dist=True)


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import holdfast.training.dcp as package

    for name in [name for name in sys.modules if name == "torch" or name.startswith("torch.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match="torch"):
        package.VaultWriter  # noqa: B018


def test_flipped_bits(tmp_path: Path) -> None:
    """A few of the many places of `benchmarks/bit_flips.py`."""
    tried = Trial(tmp_path / "flips", width=64)
    found = flips(tried, 6)
    assert found["vault"] == {"fell back": 6}, found
    assert found["files"].get("silent", 0) >= 4, "else the trial tries nothing that matters"


def test_loading_falls_back_while_it_reads(tmp_path: Path) -> None:
    """`load` proves nothing beforehand: what it meets, it passes over."""
    tried = Trial(tmp_path / "flips", width=64)
    [place] = tried.vault_places(1, seed=5)
    with flipped(place):
        state = tried._blank()
        reader = VaultReader(tried.trial.open(), ASSET)
        root = load(state, reader, no_dist=True)
        assert root.step == 1 and [one.step for one in reader.skipped] == [2] and tried.same(state, 1)
        assert isinstance(reader.skipped[0].error, DamageError)
        with pytest.raises(DamageError):
            load(tried._blank(), VaultReader(tried.trial.open(), ASSET, step=2), no_dist=True)
    state = tried._blank()
    assert load(state, VaultReader(tried.trial.open(), ASSET), no_dist=True).step == 2 and tried.same(state, 2)
