"""Everything that a resume needs besides the state: gathered, compared with what is here, and given back."""

from __future__ import annotations

from holdfast.training.circumstances.comparing import Change, Severity, compare, not_compared
from holdfast.training.circumstances.gathering import Gathered, Gatherer, gather
from holdfast.training.circumstances.model import FILE_NAME, Circumstances, Code, Dataset, Environment, Layout
from holdfast.training.circumstances.resuming import ResumeState
from holdfast.training.circumstances.stored import circumstances_of

__all__ = ["Gatherer", "Gathered", "gather", "ResumeState", "FILE_NAME"]
__all__ += ["Circumstances", "Code", "Dataset", "Environment", "Layout"]
__all__ += ["Change", "Severity", "compare", "not_compared", "circumstances_of"]
