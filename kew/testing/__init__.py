"""What users test their own tasks with: simulated time, and crashes. See docs/testing.md.

Independent of any test runner; `kew.testing.plugin` is a thin plugin for pytest.
"""

from kew.testing.errors import Left, NotDrainedError, Why
from kew.testing.manager import Failure, SimulatedClock, SimulatedManager
from kew.testing.running import run, simulated

__all__ = [
    "Failure",
    "Left",
    "NotDrainedError",
    "SimulatedClock",
    "SimulatedManager",
    "Why",
    "run",
    "simulated",
]
