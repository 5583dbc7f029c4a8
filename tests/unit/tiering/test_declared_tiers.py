"""`holdfast.yaml` as facts for the planner of tiers."""

from __future__ import annotations

import pytest

from holdfast.config.model import Config
from holdfast.config.parsing import parse_config
from holdfast.economics.book import load_list_prices
from holdfast.errors import NotFoundError, UsageError
from holdfast.replication.tiering.declared import declared
from holdfast.replication.tiering.facts import Facts, Rules
from holdfast.replication.tiering.planning import plan_tiers

BOOK = load_list_prices()
TEXT = """
version: 1
organisation: acme
sites:
  use1:
    cloud: aws
    region: us-east-1
    jurisdiction: US
    stores:
      hot: {url: file:///nvme/holdfast, restore: 60s}
      warm: {url: s3://acme-use1}
      cold: {url: s3://acme-use1-cold}
    compute: {kind: slurm, partition: gpu, shape: H100x8}
    link: {up: 10Gbit/s, price_per_gb: 0.02}
  euw4:
    cloud: gcp
    region: europe-west4
    jurisdiction: EU
    stores: {warm: {url: gs://acme-euw4}}
  berlin:
    cloud: onprem
    region: berlin
    jurisdiction: EU
    stores: {warm: {url: s3://minio-berlin}}
classes:
  training: {rto: 3h, tiers: {warm: {after: 1d}, cold: {after: 20d, unread: 5d}}}
assets:
  llama:
    class: training
    watch: /ckpt/llama
    place: {synchronous: [use1], asynchronous: [euw4]}
  records:
    class: dataset
    path: /data/eu
    place: {only_jurisdiction: EU, synchronous: [euw4], asynchronous: [berlin]}
  corpus:
    class: dataset
    path: /data
    place: {stripes: 2+1, sites: [s1, s2, s3]}
"""
_SITE = """\
  s{number}:
    cloud: onprem
    region: hall{number}
    jurisdiction: EU
    stores: {{warm: {{url: s3://hall{number}}}}}
"""
TEXT = TEXT.replace("classes:\n", "".join(_SITE.format(number=number) for number in (1, 2, 3)) + "classes:\n")


def config_of() -> Config:
    return parse_config(TEXT.encode(), "holdfast.yaml").config


def test_what_is_declared_becomes_facts() -> None:
    config = config_of()
    found = declared(config, BOOK, classes={"use1/cold": "aws/s3-deep-archive"}, verify_rates={"llama": 1e9})
    assert [(site.name, site.fails_with, site.line_per_gb) for site in found.sites[:3]] == [
        ("use1", "aws/us-east-1", 0.02),
        ("euw4", "gcp/europe-west4", None),
        ("berlin", "onprem/berlin", None),
    ]
    whole = [store for store in found.stores if not store.site.startswith("s")]
    stores = {store.name: (store.price.name, store.wait_seconds) for store in whole}
    assert stores == {
        "use1/hot": ("aws/fsx-lustre-ssd-125", 60.0),
        "use1/warm": ("aws/s3-standard", 600.0),
        "use1/cold": ("aws/s3-deep-archive", 43_200.0),  # the default of an hour would be a lie
        "euw4/warm": ("gcp/standard", 600.0),
        "berlin/warm": ("onprem/warm", 600.0),
    }
    llama, records = found.assets
    assert (llama.sites, llama.recover_at, llama.owed.rto_seconds, llama.owed.copies) == (
        ("use1", "euw4"), ("use1",), 3 * 3600.0, 2,
    )  # fmt: skip
    assert llama.verify_bytes_per_second == 1e9
    assert llama.rules == Rules(warm_after=86400.0, warm_unread=0.0, cold_after=20 * 86400.0, cold_unread=5 * 86400.0)
    assert records.owed.allows("EU") and not records.owed.allows("US") and records.recover_at == ("euw4", "berlin")
    assert list(found.left_out) == ["corpus"] and "striped" in found.left_out["corpus"]
    facts = Facts(
        now_ns=0,
        book=BOOK,
        sites=found.sites,
        stores=found.stores,
        rates=(),
        assets=found.assets,
        snapshots=(),
        packs={},
    )
    assert plan_tiers(facts).moves == () and plan_tiers(facts).notes


def test_stores_and_prices_that_do_not_exist_are_named() -> None:
    config = config_of()
    with pytest.raises(UsageError, match="use1/lukewarm"):
        declared(config, BOOK, classes={"use1/lukewarm": "aws/s3-standard"})
    with pytest.raises(NotFoundError, match="gcp/archive in us-east-1"):
        declared(config, BOOK, classes={"use1/cold": "gcp/archive"})
