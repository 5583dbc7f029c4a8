"""The model of the collection protocol: nothing is lost, and every rule is needed."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

PAGE = Path(__file__).parents[3] / "design/models/collecting.py"


@pytest.fixture(scope="module")
def model() -> ModuleType:
    spec = importlib.util.spec_from_file_location("collecting_model", PAGE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_no_interleaving_loses_anything(model: ModuleType) -> None:
    for actors in model.SMALL:
        states, way = model.explore(model.Model(actors=actors))
        assert states > 5000 and way == [], actors


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_every_rule_is_needed(model: ModuleType) -> None:
    for rule in model.RULES:
        assert any(model.explore(model.Model(rule, actors))[1] for actors in model.SMALL), rule
