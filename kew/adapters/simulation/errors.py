"""What a simulation raises about itself, as opposed to what the code inside it raises.

None of these is a `TaskQueueError`: they are for whoever runs the simulation.
"""

from __future__ import annotations


class SimulationError(RuntimeError):
    """The simulation cannot go on. Catch this one to catch them all."""


class RealIOForbidden(SimulationError):
    """The code under simulation reached for the real world.

    `what` is the call that was refused, `advice` says what to use in its place.
    """

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what} is forbidden in a simulation: {advice}")
        self.what = what
        self.advice = advice


class SimulationDeadlock(SimulationError):
    """Nothing is ready and no timer is set, so nothing can ever happen again."""


class SimulationLivelock(SimulationError):
    """The run took `max_steps` steps; probably something spins and never lets time pass."""


class Violation(AssertionError):
    """A promise was broken. `oracle` names the promise, which is the kind of failure that a shrinker keeps."""

    def __init__(self, oracle: str, text: str) -> None:
        super().__init__(f"{oracle}: {text}")
        self.oracle = oracle
        self.text = text
