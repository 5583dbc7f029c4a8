"""What a demo left, made an installation of its own: declared, catalogued, rehearsed once more, with a key to sign in.

Everything lies below the demo's folder, what a user has set counts for nothing in it, and stays as it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast.drills.story.sites import ASSET

if TYPE_CHECKING:
    from holdfast.drills.story import DemoSettings
    from holdfast.recovery.plans import Plan
    from holdfast.recovery.running.progress import Progress

__all__ = ["KEY_LASTS", "Installed", "as_demo", "install_demo"]

KEY_LASTS: Final = "8h"
_RECOVERY: Final = "demo-lm-elsewhere"
_KEY: Final = "keys/dashboard.key"


class Installed(NamedTuple):
    """`key`: an API key of an owner, also in the file `key_file`; it ends after `KEY_LASTS`."""

    config: Path
    key: str
    key_file: Path


@contextmanager
def as_demo(folder: Path) -> Iterator[Mapping[str, str]]:
    """This process as one of the demo's machines, which knows the demo's key and state and nothing of the user's."""
    before = dict(os.environ)
    for name in [one for one in before if one.startswith("HOLDFAST_")]:
        del os.environ[name]
    os.environ["HOLDFAST_KEY_FILE"] = str(folder / "keys/keeper.key")
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    os.environ["XDG_CACHE_HOME"] = str(folder / "state/cache")
    os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
    try:
        yield os.environ
    finally:
        os.environ.clear()
        os.environ.update(before)


def install_demo(folder: Path, settings: DemoSettings, recovered_at: str, environment: Mapping[str, str]) -> Installed:
    """Within `as_demo`. `recovered_at`: the site (A, B, C) where training went on; the third one holds the copy.

    Rehearses a recovery there, so that the time it takes is measured, and fills the catalog. Raises what these raise.
    """
    from holdfast.config.finding import load_config
    from holdfast.control.authority.api_key_files import create_api_key
    from holdfast.control.authority.authority_home import AuthorityHome
    from holdfast.control.cataloguing.filling import Cataloguing
    from holdfast.control.recovering.intending import Wanted
    from holdfast.control.recovering.recovering import Recoveries
    from holdfast.control.sites.declared import DeclaredSites
    from holdfast.control.sites.following import SiteFollower
    from holdfast.control.vaults.opening import open_at

    home = recovered_at.lower()
    other = next(name for name in "bc" if name != home)
    config = folder / "holdfast.yaml"
    config.write_text(json.dumps(_declared(folder, settings, home, other), indent=2) + "\n")
    sites = DeclaredSites(load_config(config, environment), environment)
    SiteFollower(sites, [sites.asset(ASSET)]).run_round()
    for name in (home, other):  # read back by the machine that shows it: what others read is hearsay to it
        open_at(str(folder / "sites" / name / "vault"), environment=environment).verify(f"{ASSET}@validated")
    recoveries = Recoveries(sites)
    plan = recoveries.plan(Wanted(_RECOVERY, isolated=True, target=str(folder / "rehearsed")))
    recoveries.run(plan, "", _nothing)
    Cataloguing(sites).update(afresh=True)
    key_file = folder / _KEY
    made = create_api_key(AuthorityHome(environment), "demo", roles=["owner"], expires=KEY_LASTS, to=key_file)
    return Installed(config, made[1].text, key_file)


def _declared(folder: Path, settings: DemoSettings, home: str, other: str) -> dict[str, object]:
    """As `holdfast.yaml`, which may be JSON. The site that was lost stays declared: its store does not answer."""
    sites = {
        name: {
            "cloud": "onprem",
            "region": f"folder-{name}",
            "jurisdiction": "EU",
            "stores": {"warm": {"url": str(folder / "sites" / name / "vault"), "restore": "10ms"}},
        }
        for name in "abc"
    }
    return {
        "version": 1,
        "organisation": "demo",
        "sites": sites,
        "assets": {
            ASSET: {
                "class": "training",
                "rpo": "1d",  # training has ended: what is owed now is that its end is kept
                "rto": f"{settings.rto_seconds:g}s",
                "place": {"synchronous": [home], "asynchronous": [other]},
            }
        },
        "recoveries": {_RECOVERY: {"asset": ASSET, "strategy": "BACKUP_AND_RESTORE", "to": [other]}},
        "drills": {"weekly-loss": {"recovery": _RECOVERY, "level": "component", "every": "7d"}},
        "serve": {"vouches": ["keeper"], "targets": [str(folder / "restored")]},
    }


def _nothing(plan: Plan, progress: Progress) -> None: ...
