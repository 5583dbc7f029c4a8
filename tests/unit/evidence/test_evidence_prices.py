"""What costs are counted by: declared machines, the price book, a line's own price; each says where it is from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.config.finding import load_config
from holdfast.config.model import Config
from holdfast.control.evidencing.pricing import pools_of, step_seconds_in, ways_of
from holdfast.economics.book import load_list_prices
from holdfast.errors import UsageError
from holdfast.objectives import NOT_MEASURED


def declared(tmp_path: Path, **use1: Any) -> Config:
    def site(cloud: str, region: str, **more: Any) -> dict[str, Any]:
        store = {"warm": {"url": str(tmp_path / region)}}
        return {"cloud": cloud, "region": region, "jurisdiction": "EU", "stores": store, **more}

    file = {
        "version": 1,
        "organisation": "acme",
        "sites": {
            "use1": site("aws", "us-east-1", **use1),
            "euw1": site("gcp", "europe-west1"),
            "own": site("onprem", "cellar"),
        },
        "assets": {"run": {"class": "training", "place": {"synchronous": ["use1"], "asynchronous": ["euw1"]}}},
    }
    path = tmp_path / "holdfast.yaml"
    path.write_text(json.dumps(file))
    return load_config(path).config


def test_prices_of_reading_are_those_of_the_book_and_of_the_line(tmp_path: Path) -> None:
    book = load_list_prices()
    pairs = [("use1/warm", "euw1"), ("use1/warm", "use1"), ("own/warm", "own"), ("stripes:1+1:x", "euw1")]
    far, near, own, striped = ways_of(declared(tmp_path), book, pairs)
    assert (far.egress.value, far.egress_gb) == (0.09, 1 << 30)  # AWS to another cloud, a GiB: docs/economics.md
    assert "internet" in far.egress.source and book.as_of in far.egress.source
    assert far.retrieval.value == 0.0 and "aws/s3-standard" in far.retrieval.source
    row = book.storage_price("aws/s3-standard", "us-east-1")
    assert far.requests.value == row.read_requests > 0
    assert near.egress.value == 0.0 and "same site" in near.egress.source
    assert own.egress.value == 0.0 and own.retrieval.value is NOT_MEASURED and "no row" in own.retrieval.source
    assert striped.egress.value is NOT_MEASURED and "several lines" in striped.egress.source
    [line] = ways_of(declared(tmp_path, link={"price_per_gb": 0.02}), book, pairs[:1])
    assert (line.egress.value, line.egress_gb) == (0.02, 10**9)


def test_gpus_are_declared_or_what_slurm_is_asked_for(tmp_path: Path) -> None:
    slurm = {"kind": "slurm", "partition": "gpu", "machines": 2}
    pools = [
        {**slurm, "shape": "a", "gres": "gpu:h100:8", "price_per_hour": 98.32},
        {**slurm, "shape": "b", "gres": "gpu:4,shard:2"},
        {**slurm, "shape": "c", "gres": "gpu"},
        {**slurm, "shape": "d", "gpus": 0},
    ]
    found = pools_of(declared(tmp_path, compute=pools))
    assert [one.gpus.value for one in found] == [8.0, 4.0, NOT_MEASURED, 0.0]
    assert "gres" in found[0].gpus.source and "says nothing" in found[2].gpus.source
    assert [one.hourly.value for one in found] == [98.32, *([NOT_MEASURED] * 3)]
    with pytest.raises(UsageError, match="asks for 8 GPUs"):
        declared(tmp_path, compute={**slurm, "shape": "a", "gres": "gpu:h100:8", "gpus": 4})
    with pytest.raises(UsageError, match="price"):
        declared(tmp_path, compute={**slurm, "shape": "a", "price_per_hour": -1})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ('{"version":1,"seconds":60,"decided_by":"rpo","step_seconds":2.5}', 2.5),
        ('{"version":2,"step_seconds":2.5}', None),
        ('{"version":1,"step_seconds":0}', None),
        ('{"version":1,"step_seconds":1e999}', None),
        ('{"version":1,"step_seconds":-1}', None),
        ('{"version":1}', None),
        ("[" * 5000, None),
        ("", None),
    ],
)
def test_the_time_of_a_step_is_what_the_training_said(text: str, seconds: float | None) -> None:
    assert step_seconds_in(text) == seconds
