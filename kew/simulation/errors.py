"""The errors of the simulation itself, as opposed to errors of the code inside it.

None of them is a `TaskQueueError`: they are for the person who runs the simulation.
"""

from __future__ import annotations


class SimulationError(RuntimeError):
    """The simulation cannot go on. Catch this one to catch them all."""


class RealIOForbidden(SimulationError):
    """The simulated code tried to use the real world (a socket, a thread, the real clock).

    `what` is the refused call, `advice` says what to use instead.
    """

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what} is forbidden in a simulation: {advice}")
        self.what = what
        self.advice = advice


class SimulationDeadlock(SimulationError):
    """Nothing is ready and no timer is set, so nothing can happen any more."""


class SimulationLivelock(SimulationError):
    """The run took `max_steps` steps; probably something spins without letting time pass."""


class Violation(AssertionError):
    """A promise was broken. `oracle` names the promise; the shrinker keeps it while it makes the run smaller."""

    def __init__(self, oracle: str, text: str) -> None:
        super().__init__(f"{oracle}: {text}")
        self.oracle = oracle
        self.text = text
