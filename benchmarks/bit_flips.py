"""One flipped bit, at each of N places: what `dcp.load` makes of it, from torch's own files and from a vault.

The same model (AdamW in full) is saved after two steps, to files by `dcp.save` and to a vault through `VaultWriter`.
Then, one place at a time, a bit of what the second save left is flipped, the state is loaded, and the bit is put back.

* files: places are bytes of the checkpoint of step 2 (`.distcp` and `.metadata`), every byte as likely as another;
* vault: bytes of the objects that the second save wrote and a load reads: packs without their footers (an index says
  the same, and is read in their place), parts, and the root. A reader is given no help: it has to find the damage, pass
  the snapshot over, and load step 1, bit for bit.

    python -m benchmarks.bit_flips --places 200 > benchmarks/results/bit_flips.json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.stores.local import LocalStore
from holdfast.testing.workspace import NoteTaker, new_trial_vault, own_memory
from holdfast.training.dcp import VaultReader, VaultWriter
from holdfast.vault.format.names import PACKS, PARTS, SNAPSHOTS

__all__ = ["Trial", "flips"]

ASSET, WIDTH = "run", 256


class Place(NamedTuple):
    """A bit: the file, the byte, and which of its eight."""

    file: Path
    byte: int
    bit: int


class Trial:
    """A model, saved after steps 1 and 2 to files and to a vault below `folder`."""

    def __init__(self, folder: Path, width: int = WIDTH) -> None:
        import torch
        import torch.distributed.checkpoint as dcp

        self.files, self._dcp, self._torch = folder / "files", dcp, torch
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(width, 2 * width), torch.nn.GELU(), torch.nn.Linear(2 * width, 8))
        optimizer = torch.optim.AdamW(model.parameters())
        self.trial = new_trial_vault(LocalStore(folder / "vault"))
        writer, before = VaultWriter(self.trial.open(), ASSET), set()
        self.states: dict[int, dict[str, Any]] = {}
        for step in (1, 2):
            loss = (model(torch.randn(16, width)) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            self.states[step] = self._state(model, optimizer)
            before = set(self._objects())
            writer.step = step
            dcp.save(self.states[step], storage_writer=writer, no_dist=True)
        dcp.save(self.states[2], checkpoint_id=self.files, no_dist=True)
        self.written = sorted(set(self._objects()) - before)

    def file_places(self, count: int, seed: int) -> list[Place]:
        return _places([(path, path.stat().st_size) for path in sorted(self.files.iterdir())], count, seed)

    def vault_places(self, count: int, seed: int) -> list[Place]:
        sizes = []
        for path in self.written:
            size = path.stat().st_size
            if path.parent.parent.name == "packs":
                with path.open("rb") as file:  # the last 16 bytes: number of blobs, bytes of the footer, a mark
                    file.seek(-16, os.SEEK_END)
                    size -= 16 + int.from_bytes(file.read(8)[4:], "little")
            sizes.append((path, size))
        return _places(sizes, count, seed)

    def from_files(self) -> str:
        """`silent`: it loads, and is not what was saved; `unharmed`: it loads, and is; else the class of the error."""
        state = self._blank()
        try:
            self._dcp.load(state, checkpoint_id=self.files, no_dist=True)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return "refused"
        return "unharmed" if self.same(state, 2) else "silent"

    def from_vault(self) -> tuple[str, str]:
        """The same, with `fell back`: the reader passed step 2 over and gave step 1, as it was. And what it said."""
        state, notes = self._blank(), NoteTaker()
        reader = VaultReader(self.trial.open(progress=notes), ASSET)
        try:
            self._dcp.load(state, storage_reader=reader, no_dist=True)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return "refused", str(error)
        if reader.root is not None and reader.root.step == 1 and self.same(state, 1):
            said = "; ".join([*(skipped.error.message for skipped in reader.skipped), *notes.notes])
            return ("fell back" if said else "silent"), said
        return ("unharmed" if self.same(state, 2) else "silent"), ""

    def same(self, state: dict[str, Any], step: int) -> bool:
        return _same(state, self.states[step], self._torch)

    def _objects(self) -> Iterator[Path]:
        for prefix in (PACKS, PARTS, SNAPSHOTS):
            yield from (path for path in (self._vault_folder / prefix).rglob("*") if path.is_file())

    @property
    def _vault_folder(self) -> Path:
        store = self.trial.store
        assert isinstance(store, LocalStore)
        return store.path

    def _state(self, model: Any, optimizer: Any) -> dict[str, Any]:
        from torch.distributed.checkpoint.state_dict import get_state_dict

        weights, moments = get_state_dict(model, optimizer)
        copied: dict[str, Any] = _mapped(
            {"model": weights, "optim": moments}, lambda one: one.detach().clone(), self._torch
        )
        return copied

    def _blank(self) -> dict[str, Any]:
        blank: dict[str, Any] = _mapped(self.states[2], self._torch.zeros_like, self._torch)
        return blank


def flips(trial: Trial, count: int, seed: int = 1) -> dict[str, Any]:
    """Flip `count` bits of each, one at a time. Returns how often what came of it."""
    files: Counter[str] = Counter()
    for place in trial.file_places(count, seed):
        with flipped(place):
            files[trial.from_files()] += 1
    vault: Counter[str] = Counter()
    hit: Counter[str] = Counter()
    example = ""
    for place in trial.vault_places(count, seed):
        with flipped(place):
            outcome, said = trial.from_vault()
        vault[outcome] += 1
        hit[place.file.relative_to(trial._vault_folder).parts[0]] += 1
        example = example or said
    return {"places": count, "files": dict(files), "vault": dict(vault), "hit in the vault": dict(hit), "said": example}


@contextmanager
def flipped(place: Place) -> Iterator[None]:
    mode = place.file.stat().st_mode
    place.file.chmod(0o600)
    _flip(place)
    try:
        yield
    finally:
        _flip(place)
        place.file.chmod(mode)


def _flip(place: Place) -> None:
    with place.file.open("r+b") as file:
        file.seek(place.byte)
        [old] = file.read(1)
        file.seek(place.byte)
        file.write(bytes([old ^ 1 << place.bit]))


def _places(sizes: list[tuple[Path, int]], count: int, seed: int) -> list[Place]:
    drawn = random.Random(seed)
    total = sum(size for _, size in sizes)
    places = []
    for at in sorted(drawn.sample(range(total), count)):
        left = at
        for path, size in sizes:
            if left < size:
                places.append(Place(path, left, drawn.randrange(8)))
                break
            left -= size
    return places


def _mapped(value: Any, change: Callable[[Any], Any], torch: Any) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(inner, change, torch) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mapped(inner, change, torch) for inner in value]
    return change(value) if isinstance(value, torch.Tensor) else value


def _same(one: Any, other: Any, torch: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key], torch) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(_same(*pair, torch) for pair in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor):
        octets = [tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other)]
        return one.shape == other.shape and bool(torch.equal(*octets))
    return bool(one == other)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    warnings.filterwarnings("ignore")  # torch says that it works alone
    import logging

    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, own_memory(Path(folder) / "memory"):
        result = flips(Trial(Path(folder)), chosen.places, chosen.seed)
    print(json.dumps(result, indent=1))
    return 0 if result["vault"] == {"fell back": chosen.places} else 1


if __name__ == "__main__":
    sys.exit(main())
