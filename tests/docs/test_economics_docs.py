"""What docs/economics.md says: its example runs, and its tables are those of the price book."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from holdfast.economics.book import load_list_prices
from holdfast.economics.own_prices import parse_own_prices

PAGE = (Path(__file__).parents[2] / "docs" / "economics.md").read_text("utf-8")
BOOK = load_list_prices()
ROWS = {
    "S3 Standard, us-east-1": ("aws/s3-standard", "us-east-1"),
    "S3 Standard-IA": ("aws/s3-standard-ia", "us-east-1"),
    "S3 Glacier Instant Retrieval": ("aws/s3-glacier-instant", "us-east-1"),
    "S3 Glacier Flexible Retrieval": ("aws/s3-glacier-flexible", "us-east-1"),
    "S3 Glacier Deep Archive": ("aws/s3-deep-archive", "us-east-1"),
    "FSx for Lustre, SSD, 125 MB/s/TiB": ("aws/fsx-lustre-ssd-125", "us-east-1"),
    "Google Cloud Storage Standard, europe-west1": ("gcp/standard", "europe-west1"),
    "Nearline": ("gcp/nearline", "europe-west1"),
    "Coldline": ("gcp/coldline", "europe-west1"),
    "Archive": ("gcp/archive", "europe-west1"),
    "Azure Blob hot, westeurope": ("azure/hot", "westeurope"),
    "cool": ("azure/cool", "westeurope"),
    "cold": ("azure/cold", "westeurope"),
    "archive": ("azure/archive", "westeurope"),
}


def test_the_example_runs_and_prints_what_it_says() -> None:
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    said = re.search(r"# (USD .*)", code[1])
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code[1], {})
    assert said is not None and out.getvalue().strip() == said[1]


def test_the_table_is_the_price_book() -> None:
    found = {
        row[0]: row[1:]
        for row in re.findall(r"^\| ([^|]+) \| ([0-9.]+) \| ([0-9.–]+) \| ([^|]+) \| [^|]+ \|$", PAGE, re.M)
    }
    assert found.keys() == ROWS.keys()
    for words, (storage, retrieval, minimum) in found.items():
        row = BOOK.storage_price(*ROWS[words])
        assert float(storage) == row.storage
        assert (0.0 if retrieval == "–" else float(retrieval)) == row.retrieval
        assert (0.0 if minimum == "–" else float(minimum.removesuffix(" d"))) == row.minimum_days


@pytest.mark.parametrize(("words", "cloud"), [("AWS", "aws"), ("Google Cloud", "gcp"), ("Azure", "azure")])
def test_egress(words: str, cloud: str) -> None:
    row = re.search(rf"^\| {words} \| ([0-9.]+) \| ([0-9.]+) \| ([0-9.]+) \|$", PAGE, re.M)
    assert row is not None
    prices = {line.to: line.per_gb for line in BOOK.transfer if line.cloud == cloud}
    said = dict(zip(("same-continent", "other-continent", "internet"), map(float, row.groups()), strict=True))
    assert said == prices


def test_the_file_of_own_prices_is_one() -> None:
    text = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert text is not None
    assert parse_own_prices(text[1].encode(), "the page").storage[0].storage == 0.019
