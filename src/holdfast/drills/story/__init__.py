"""The demo: three sites on this machine, a real training run, the loss of a site in mid-training, recovery, proof.

What happens is real: separate processes train and watch, SIGKILL ends them, the site's folder is wiped, and the
recovery knows nothing but what the other sites hold. What is simulated: the sites are folders of one machine.
"""

from __future__ import annotations

from holdfast.drills.story.plot import DemoResult, DemoSettings, run_demo

__all__ = ["DemoSettings", "DemoResult", "run_demo"]
