"""Files for the tests of `holdfast.config`: the documented example, and a small one to change."""

from __future__ import annotations

import re
from pathlib import Path

from holdfast.config.model import Config
from holdfast.config.parsing import check_config, parse_config

PAGE = Path(__file__).parents[3] / "docs" / "config.md"


def example() -> str:
    """The file on the page."""
    return re.search(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[1]  # type: ignore[index]


SMALL = """\
version: 1
organisation: acme
sites:
  use1:
    cloud: aws
    region: us-east-1
    jurisdiction: US
    stores:
      hot: {url: file:///nvme/holdfast}
      warm: {url: s3://acme-use1, lock: 30d}
    link: {up: 10Gbit/s, reserve: 2Gbit/s}
  use1b: {cloud: aws, region: us-east-1, jurisdiction: US, stores: {warm: {url: s3://acme-use1b}}}
  # Stripes need stores of their own; of one region, the first of the file is taken.
  euw4s: {cloud: gcp, region: "europe-west4", jurisdiction: EU, stores: {warm: {url: gs://stripes-euw4}}}
  euns: {cloud: azure, region: northeurope, jurisdiction: EU, stores: {warm: {url: az://euns}}}
  #
  euw4:
    cloud: gcp
    region: europe-west4
    jurisdiction: EU
    stores: {warm: {url: gs://acme-euw4}}
  fra:
    cloud: onprem
    region: fra-1
    jurisdiction: EU
    stores: {cold: {url: s3://fra, options: {endpoint: "https://s3.fra.example"}}}
  eun:
    cloud: azure
    region: northeurope
    jurisdiction: EU
    stores: {warm: {url: az://eun, lock: 30d}}
classes:
  training: {rpo: 2h}
  gold: {like: weights, rto: 2h}
assets:
  run:
    class: training
    watch: /ckpt/run
    place: {synchronous: [use1], asynchronous: [euw4]}
    keep: {last: 5, daily: 14}
  best:
    class: gold
    path: /models/best
    place: {synchronous: [use1, eun]}
  data:
    class: dataset
    path: /data
    place: {only_jurisdiction: EU, stripes: 2+1}
"""

ALONE = SMALL[: SMALL.index("  data:")]
"""The same without the asset in stripes, whose stores nobody else may have."""


def config_of(text: str) -> Config:
    return parse_config(text.encode(), "holdfast.yaml").config


def problems_of(text: str) -> list[tuple[int, str]]:
    return [(one.line, one.message) for one in check_config(text.encode(), "holdfast.yaml").problems]


def changed(before: str, after: str, text: str = SMALL) -> str:
    assert before in text, before
    return text.replace(before, after, 1)
