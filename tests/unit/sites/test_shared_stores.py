"""Whoever opens stripes asks again whether their stores are theirs alone, whatever was checked before."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.config.finding import LoadedConfig
from holdfast.config.parsing import check_config
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import RefusedError

_FILE = """\
version: 1
organisation: acme
sites:
  a: {cloud: onprem, region: a, jurisdiction: EU, stores: {warm: {url: memory://a}}}
  b: {cloud: onprem, region: b, jurisdiction: EU, stores: {warm: {url: memory://b}}}
  c: {cloud: onprem, region: c, jurisdiction: EU, stores: {warm: {url: memory://c}}}
assets:
  striped: {class: training, place: {stripes: 2+1, sites: [a, b, c]}}
  whole: {class: development, place: {synchronous: [b]}}
"""


def test_stripes_over_a_store_with_whole_copies_do_not_open(tmp_path: Path) -> None:
    checked = check_config(_FILE.encode(), "holdfast.yaml")
    assert [one.line for one in checked.problems] == [8]
    assert checked.config is not None
    loaded = LoadedConfig(checked.config, tmp_path / "holdfast.yaml", checked.lines)
    sites = DeclaredSites(loaded, {"XDG_STATE_HOME": str(tmp_path)})
    with pytest.raises(
        RefusedError, match="b/warm is declared for the stripes of striped, and for whole copies of whole"
    ):
        sites.stripes(sites.asset("striped").set_name)
