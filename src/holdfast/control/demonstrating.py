"""The demo, for the faces of the program."""

from __future__ import annotations

from holdfast.drills.story import DemoResult, DemoSettings, run_demo

__all__ = ["DemoSettings", "DemoResult", "run_demo"]
