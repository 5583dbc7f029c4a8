"""What an asset's class owes (RPO, RTO, copies), and judgements of what was measured. Pure: nothing here fetches.

Measured or NOT_MEASURED: what was not measured is never met, and figures that cannot be are INVALID, not rounded.
"""

from __future__ import annotations

from holdfast.objectives.judge import Judgement, State, Verdict, judge, worst
from holdfast.objectives.measured import NOT_MEASURED, Measured, NotMeasured, Split, rpo_seconds, split_between
from holdfast.objectives.model import AssetClass, Objective, Placement, objective_of

__all__ = ["AssetClass", "Placement", "Objective", "objective_of"]
__all__ += ["NotMeasured", "NOT_MEASURED", "Split", "split_between", "Measured", "rpo_seconds"]
__all__ += ["State", "Judgement", "Verdict", "judge", "worst"]
