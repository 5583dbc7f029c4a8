"""Erasure coding of packs over sites: any k of n sites give everything, at n/k of the bytes. See docs/stripes.md."""

from holdfast.replication.striping.converting import Converted, dissolve_stripes, stripe_packs, unstripe_packs
from holdfast.replication.striping.creating import adopt_home, create_stripes
from holdfast.replication.striping.healing import Healed, heal_stripes, remove_fragments
from holdfast.replication.striping.layout import Layout
from holdfast.replication.striping.owing import HealingPlan, plan_healing
from holdfast.replication.striping.rebuilding import plan_rebuild, rebuild_site
from holdfast.replication.striping.store import StripedStore
from holdfast.replication.striping.surveying import Survey, survey_stripes
from holdfast.replication.striping.verifying import StripeDamage, VerifiedStripes, heal_damage, verify_stripes

__all__ = [
    "Converted",
    "Healed",
    "HealingPlan",
    "Layout",
    "StripeDamage",
    "StripedStore",
    "Survey",
    "VerifiedStripes",
    "adopt_home",
    "create_stripes",
    "dissolve_stripes",
    "heal_damage",
    "heal_stripes",
    "plan_healing",
    "plan_rebuild",
    "rebuild_site",
    "remove_fragments",
    "stripe_packs",
    "survey_stripes",
    "unstripe_packs",
    "verify_stripes",
]
