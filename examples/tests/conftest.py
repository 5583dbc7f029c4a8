"""What the tests of `tests/` share: these need more packages than `make test` sets up, and run by `make examples`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "integration"))
