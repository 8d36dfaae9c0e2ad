"""`simulate`: run the user's tasks in several simulated processes, with faults that the seed decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Final

import attrs

from kew.manager import TaskQueueManager
from kew.simulation.errors import SimulationError
from kew.simulation.faults import Fault, Tally
from kew.simulation.loop import SimulationLoop
from kew.simulation.plan import Plan
from kew.testing.arena import Arena, Program
from kew.testing.errors import SimulationFailed
from kew.testing.instrument import instrumented
from kew.testing.logs import quiet
from kew.testing.manager import App
from kew.testing.running import Scenario
from kew.testing.standing_in import standing_in_for

FAULTS: Final = (
    Fault.KILL,
    Fault.STOP,
    Fault.STALL,
    Fault.SLOW,
    Fault.LOST_REQUEST,
    Fault.LOST_REPLY,
    Fault.LATE,
    Fault.REPEATED,
    Fault.REFUSED,
    Fault.PARTITION,
    Fault.RESTART,
    Fault.NOTICE_LOST,
    Fault.NOTICE_LATE,
    Fault.NOTICE_TWICE,
)
"""The default faults of `simulate`: those of calls, processes, the store and notifications, but no clocks that jump."""

CALM: Final = 0.1  # of all seeds: no fault at all
EVERYTHING: Final = 0.6  # up to here: every fault; the rest has each fault with even odds
MAX_STEPS: Final = 3_000_000
SIX_HOURS: Final = 6 * 3600.0


@attrs.frozen(kw_only=True)
class SimulationReport:
    """What a successful `simulate` ran."""

    seeds: int
    simulated_s: float
    tasks: int
    faults: Tally

    def __str__(self) -> str:
        counts = [f"{fault.value} {self.faults.of(fault)}" for fault in Fault]
        met = ", ".join(one for one in counts if not one.endswith(" 0"))
        return (
            f"{self.seeds} seeds, {self.simulated_s / 3600:.1f} simulated hours, "
            f"{self.tasks} tasks, {self.faults.total} faults ({met or 'none'}): no failure"
        )


def simulate(
    scenario: Scenario[object],
    *,
    app: App,
    setup: Callable[[], object],
    check: Callable[[], object],
    seeds: int | Iterable[int] = 100,
    faults: Iterable[Fault | str] | None = None,
    processes: int = 3,
    instead_of: TaskQueueManager | None = None,
    within: float = SIX_HOURS,
) -> SimulationReport:
    """Run your tasks in several simulated processes that crash, stall and lose their store, once for each seed.

    `setup()` resets the outside state: an in-memory fake of what the tasks talk to. `app(manager)` is your program's
    start-up, which creates queues and registers functions; every process runs it when it starts. `scenario(manager)`
    submits tasks, in a process without faults.

    Workers are killed and stalled at awaits of the tasks and at any other moment, tasks are redelivered, and replies of
    the store are lost. Then the faults stop, every task must end `within` so many simulated seconds, and `check()`
    checks the result; it fails by raising, or by returning False.

    `seeds`: how many, or which. `faults`: the faults to use, by default `FAULTS`. `instead_of`: as for `run`. Raises
    `SimulationFailed`, an AssertionError, for the first failing seed, with a readable trace and how to replay it;
    otherwise returns what was run.
    """
    kinds = tuple(Fault(one) for one in faults) if faults is not None else FAULTS
    numbers = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    program = Program(
        scenario=scenario,
        app=app,
        setup=setup,
        check=check,
        instead_of=instead_of,
        within=within,
    )
    met, simulated_s, tasks = Tally(), 0.0, 0
    with standing_in_for(instead_of), instrumented(scenario, app, check, setup), quiet():
        for seed in numbers:
            life = _live(draw(seed, kinds, processes), program)
            if life.error is not None:
                raise _failure(seed, life, program, numbers) from life.error
            met.include(life.tally)
            simulated_s += life.simulated_s
            tasks += life.tasks
    return SimulationReport(seeds=len(numbers), simulated_s=simulated_s, tasks=tasks, faults=met)


def draw(seed: int, kinds: tuple[Fault, ...], processes: int) -> Plan:
    """The plan of a run, decided by the seed alone."""
    random = Random(f"testing:{seed}")
    mood = random.random()
    odds = 0.0 if mood < CALM else 1.0 if mood < EVERYTHING else 0.5
    return Plan(
        seed=seed,
        workload="a user's",
        faults=frozenset(kind for kind in kinds if random.random() < odds),
        rate=random.choice((1.0, 3.0)),
        policy=random.choice(("uniform", "uniform", "pct", "fifo")),
        processes=processes,
        submitters=0,
        errands=0,
        horizon=random.choice((60.0, 180.0)),
        tick=random.choice((4.0, 8.0)),
    )


@attrs.frozen(kw_only=True)
class _Lived:
    plan: Plan
    error: BaseException | None
    simulated_s: float
    tasks: int
    tally: Tally
    trace: tuple[str, ...]


def _live(plan: Plan, program: Program, *, keep_trace: bool = False) -> _Lived:
    error: BaseException | None = None
    with SimulationLoop(plan.seed, plan.policy, keep_trace=keep_trace, max_steps=MAX_STEPS) as loop:
        arena = Arena(loop, plan, program)
        try:
            loop.run(arena.run())
        except Exception as raised:  # noqa: BLE001 - any error from the user's code is a finding
            error = raised
        return _Lived(
            plan=plan,
            error=error,
            simulated_s=loop.time(),
            tasks=len(arena.server.namespace.records),
            tally=arena.tally,
            trace=tuple(loop.trace),
        )


def _failure(seed: int, life: _Lived, program: Program, numbers: list[int]) -> SimulationFailed:
    """The failure with a readable trace, for which the seed is run once more."""
    error = life.error
    assert error is not None
    again = _live(life.plan, program, keep_trace=True)
    advice = f"replay it with simulate(..., seeds=[{seed}])"
    if str(again.error) != str(error):
        advice = (
            f"but a replay ended differently ({again.error!r}): something in the tasks depends on real "
            "randomness or real time (random, uuid, datetime.now, the order of a set of strings)"
        )
    kind = "the simulation" if isinstance(error, SimulationError) else type(error).__name__
    tried = f"{numbers.index(seed) + 1} of {len(numbers)} seeds"
    faults = ", ".join(fault for fault in Fault if fault in life.plan.faults) or "none"
    message = f"seed {seed} ({tried}): {kind}: {error}\n  {advice}\n  faults drawn: {faults}"
    return SimulationFailed(message, seed=seed, error=error, trace=again.trace)
