"""Tools for testing your own tasks: simulated time and simulated crashes. See docs/testing.md.

They work with any test runner; `kew.testing.plugin` is a small pytest plugin.
"""

from kew.simulation.errors import RealIOForbidden, SimulationError
from kew.simulation.faults import Fault
from kew.testing.crashing import Break, CrashReport, crash_at_every_await
from kew.testing.errors import InvariantBroken, Left, NotDrainedError, SimulationFailed
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
    "crash_at_every_await",
    "run",
    "simulate",
    "simulated",
]
