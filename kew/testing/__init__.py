"""What users test their own tasks with: simulated time, and crashes. See docs/testing.md.

Independent of any test runner; `kew.testing.plugin` is a thin plugin for pytest.
"""

from kew.adapters.simulation.errors import RealIOForbidden, SimulationError
from kew.adapters.simulation.faults import Fault
from kew.testing.crashing import Break, CrashReport, crash_at_every_await
from kew.testing.errors import InvariantBroken, Left, NotDrainedError, SimulationFailed, Why
from kew.testing.manager import Failure, SimulatedClock, SimulatedManager
from kew.testing.points import Point, When
from kew.testing.running import run, simulated
from kew.testing.simulating import FAULTS, SimulationReport, simulate

__all__ = [
    "FAULTS",
    "Break",
    "CrashReport",
    "Failure",
    "Fault",
    "InvariantBroken",
    "Left",
    "NotDrainedError",
    "Point",
    "RealIOForbidden",
    "SimulatedClock",
    "SimulatedManager",
    "SimulationError",
    "SimulationFailed",
    "SimulationReport",
    "When",
    "Why",
    "crash_at_every_await",
    "run",
    "simulate",
    "simulated",
]
