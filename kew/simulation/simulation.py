"""One run from a plan to what came of it."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping

import attrs

from kew.app.injection import CLEANUP_FAILED
from kew.compat import override
from kew.simulation.chaos import chaos
from kew.simulation.errors import SimulationError, Violation
from kew.simulation.facts import Facts
from kew.simulation.faults import Fault, Tally
from kew.simulation.loop import SimulationLoop
from kew.simulation.plan import Plan
from kew.simulation.starting import FailingStarts, StartFailed
from kew.simulation.world import World

BUGS = (Violation, AssertionError, LookupError, TypeError, AttributeError, NameError)
"""Errors that show a mistake in kew if they are unexpected."""

MAX_STEPS = 3_000_000


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of a run. `oracle` and `violation` are empty for a good one; `cpu_s` is the only real time."""

    plan: Plan
    oracle: str = ""
    violation: str = ""
    trace_hash: str = ""
    simulated_s: float = 0.0
    cpu_s: float = 0.0
    operations: Mapping[str, int] = attrs.field(factory=dict)
    tally: Tally = attrs.field(factory=Tally)
    happenings: Mapping[str, int] = attrs.field(factory=dict)
    starts: int = 0
    trace: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """No promise was broken."""
        return not self.oracle


def simulate(plan: Plan, *, keep_trace: bool = False) -> Outcome:
    """Run a plan. Equal plans have equal outcomes, in any process with this Python and this kew."""
    began = time.process_time()
    oracle = violation = ""
    with SimulationLoop(
        plan.seed, plan.policy, keep_trace=keep_trace, max_steps=MAX_STEPS, fatal=BUGS
    ) as loop:
        world = World(loop, plan)
        with _bugs_end_the_run(world.facts), _failing_starts(world):
            try:
                loop.run(world.run(chaos))
            except Violation as error:
                oracle, violation = error.oracle, error.text
            except (SimulationError, *BUGS) as error:
                oracle, violation = type(error).__name__, str(error)
        return Outcome(
            plan=plan,
            oracle=oracle,
            violation=violation,
            trace_hash=loop.trace_hash(),
            simulated_s=loop.time(),
            cpu_s=time.process_time() - began,
            operations=Counter(world.server.operations),
            tally=world.tally,
            happenings=dict(world.facts.happenings),
            starts=sum(host.starts for host in world.hosts.values()),
            trace=tuple(loop.trace),
        )


def _failing_starts(world: World) -> contextlib.AbstractContextManager[None]:
    if Fault.UNSTARTABLE not in world.plan.faults:
        return contextlib.nullcontext()
    return FailingStarts(world.facts, world.tally, lambda: world.is_healed).planted()


@contextlib.contextmanager
def _bugs_end_the_run(facts: Facts) -> Iterator[None]:
    """What kew logs as an error, and what a callback raises, is a violation too. Warnings are dropped."""
    logger = logging.getLogger("kew")
    catcher = _Catcher(facts)
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(catcher)
    facts.loop.set_exception_handler(lambda _loop, context: _report(facts, context))
    try:
        yield
    finally:
        logger.removeHandler(catcher)
        logger.setLevel(level)
        logger.propagate = propagate


def _report(facts: Facts, context: Mapping[str, object]) -> None:
    error = context.get("exception")
    if not isinstance(error, Violation):
        facts.loop.fail(Violation("unhandled", f"{context.get('message')}: {error!r}"))


class _Catcher(logging.Handler):
    """Ends the run at the first error that kew logs."""

    def __init__(self, facts: Facts) -> None:
        super().__init__(logging.ERROR)
        self._facts = facts

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if "the hook" in str(record.msg):
            return  # a user's hook failed, as users' hooks do
        if CLEANUP_FAILED in record.getMessage():
            return  # a user's dependency did
        if StartFailed.__name__ in record.getMessage():
            return  # a fault, and kew blames it
        self._facts.loop.fail(Violation("logged", record.getMessage()))
