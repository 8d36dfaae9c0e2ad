"""What a feature and a workload are, and the hands of a user: what they can do with a manager in a simulation."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, NoReturn

import attrs

from kew.domain.config import QueueConfig
from kew.domain.errors import (
    QueueDrainingError,
    QueueFullError,
    QueueNotFoundError,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskAlreadyExistsError,
)
from kew.domain.keys import PerKey
from kew.domain.rate import Rate
from kew.domain.task import QueuePriority
from kew.handles import TaskHandle
from kew.manager import TaskQueueManager
from kew.queues import CircuitBreaker
from kew.simulation.facts import Asked, Facts
from kew.simulation.handlers import Script, perform, perform_patiently
from kew.simulation.hosts import Host
from kew.simulation.network import PATIENCE as ROUND_TRIP
from kew.simulation.processes import EPOCH_S
from kew.simulation.runs import Runs

TRIES: Final = 4
PRIORITIES: Final = (*QueuePriority, None)
MAIN, RISKY, TIGHT = "main", "risky", "tight"
COMPLETED: Final = frozenset({"completed"})
ANY_END: Final = frozenset({"completed", "failed", "cancelled"})
FAILED: Final = frozenset({"failed"})
COMPLETED_OR_CANCELLED: Final = frozenset({"completed", "cancelled"})


@attrs.frozen
class Feature:
    """One thing that users do: `errand` does it once. `weight` is its share of the mix.

    `is_calm` False: it is trouble in itself, so calm runs have none of it.
    """

    name: str
    errand: Callable[[User], Awaitable[None]]
    weight: float = 1.0
    is_calm: bool = True


@attrs.frozen
class Workload:
    """Which features a run mixes, the queues that it has (None: the usual ones) and its processes (None: a few)."""

    name: str
    features: Sequence[Feature]
    queues: Callable[[Random], Sequence[QueueConfig]] | None = None
    processes: int | None = None


PATIENCE: Final = 20.0  # with the latest repeat of a request, less than the shortest task_ttl
LONGEST_WAIT: Final = PATIENCE + ROUND_TRIP + 0.5  # of a submit


@attrs.define(eq=False, kw_only=True)
class User:
    """A person's code in one process, on one errand. `number` is unique in the run."""

    manager: TaskQueueManager
    host: Host
    random: Random
    facts: Facts
    runs: Runs
    number: int
    _made: int = 0

    # --- submitting

    def script(self, **more: Any) -> Script:
        """A script with a few pauses, some of them longer than a lease."""
        lengths = (0.0, 0.01, 0.3, 2.0, 8.0)
        pauses = [self.random.choice(lengths) for _ in range(self.random.choice((0, 1, 1, 2)))]
        return Script(**{"pauses": pauses, **more})  # type: ignore[typeddict-item]

    def expect(self, queue: str, ends: frozenset[str] = COMPLETED, **more: Any) -> Asked:
        """A new task id, and what may become of it."""
        self._made += 1
        asked = Asked(id=f"e{self.number}.{self._made}", queue=queue, ends=ends, **more)
        self.facts.asked[asked.id] = asked
        return asked

    async def submit(
        self,
        asked: Asked,
        script: Script,
        *,
        function: Callable[..., object] = perform,
        **options: Any,
    ) -> TaskHandle[Any] | None:
        """Submit it, repeatedly while the answer is uncertain. None: it was refused, or the answer stayed uncertain."""
        priority = options.pop("priority", self.random.choice(PRIORITIES))
        if options.get("_defer_by"):
            asked.delay_ms = math.ceil(options["_defer_by"] * 1000)
        token = None
        for _ in range(TRIES):
            try:
                with self._patient(asked.id):
                    info = await self.manager.submit_task(
                        asked.id,
                        asked.queue,
                        "simulated",
                        function,
                        priority,
                        script,
                        _token=token,
                        **options,
                    )
            except SubmitUncertainError as error:
                token = error.token
            except (StoreUnavailableError, QueueFullError, QueueDrainingError):
                if token is None:
                    self.facts.refused(asked.id)
                return None
            except TaskAlreadyExistsError:
                self.fail(f"{asked.id} is said to exist, and was submitted once")
            else:
                self.facts.accepted(asked.id)
                return TaskHandle(self.manager, info)
        return None

    @contextlib.contextmanager
    def _patient(self, task_id: str) -> Iterator[None]:
        """A submit waits no longer than the patience and one round trip, unless its process stood still meanwhile."""
        loop, began_at = asyncio.get_running_loop(), self.facts.loop.world_time()
        began = loop.time()
        try:
            yield
        finally:
            waited, is_late = loop.time() - began, self.host.stalled_until >= began_at
            if waited > LONGEST_WAIT and not is_late:
                self.facts.fail(
                    "patience", f"{self.host}: {task_id} was submitted for {waited:.3f} s"
                )

    def instant(self, seconds: float) -> datetime:
        """So far from now by this process's own clock, right or wrong."""
        assert self.host.process is not None
        return datetime.fromtimestamp(self.host.process.wall_time() + seconds, tz=UTC)

    def store_time(self) -> float:
        """What the store's clock began with, seconds since 1970."""
        return EPOCH_S

    # --- waiting and asking

    def breaker(self, queue: str) -> CircuitBreaker:
        """The queue's breaker, unless the manager has been shut down meanwhile."""
        if queue not in self.manager.queues:
            raise QueueNotFoundError(queue)
        return self.manager.queues[queue].circuit_breaker

    async def pause(self, *seconds: float) -> None:
        """Wait for about one of these times."""
        await asyncio.sleep(self.random.choice(seconds) * self.random.random())

    def has_finished(self, task_id: str, value: object) -> bool:
        """An attempt of the task really returned this."""
        return any(
            attempt.has_finished and attempt.value == value
            for (known, _), attempt in self.facts.attempts.items()
            if known == task_id
        )

    def check_gone(self, task_id: str) -> None:
        """The user got the answer that there is no such record; there was one, so it must have expired."""
        task = self.facts.records.get(task_id)
        if task is not None and not task.is_terminal:
            self.fail(f"{task_id} is said to be missing, and is {task.status.value}")

    def fail(self, text: str) -> NoReturn:
        """The answer to the user is wrong."""
        self.facts.fail("answers", f"{self.host}: {text}")


def prepare(manager: TaskQueueManager) -> None:
    """Register the functions of all scripts."""
    from kew.simulation import handlers

    manager.register(handlers.perform)
    manager.register(handlers.perform_plainly)
    manager.register(handlers.perform_alone)
    manager.register(handlers.perform_in_vain)
    manager.task(at_most_once=True)(handlers.perform_once)
    manager.task(max_retries=3, retry_delay=0.5)(perform_patiently)
    manager.task(timeout=1.5)(handlers.perform_in_time)


SOME_RATES: Final = (
    *((),) * 6,  # most queues have none
    (Rate(3, per=1.0),),
    (Rate(4, per=2.0, burst=2),),
    (Rate(2, per=0.5), Rate(6, per=4.0)),
)


SOME_LIMITS: Final = (
    None,
    None,
    PerKey(max_workers=1),
    PerKey(max_workers=2, rate=Rate(3, per=1.0)),
    PerKey(rate=(Rate(2, per=0.5, burst=2), Rate(8, per=6.0))),
)


def usual_queues(random: Random) -> Sequence[QueueConfig]:
    """A roomy queue, one whose tasks fail and whose breaker is quick, and a tight one. The first may have rates
    and limits of keys."""
    main = QueueConfig(
        MAIN,
        max_workers=random.choice((3, 5, 8)),
        max_retries=2,
        retry_delay=random.choice((0.1, 1.0)),
        max_circuit_breaker_failures=None,
        lease=random.choice((3.0, 5.0, 15.0)),
        max_workers_per_process=random.choice((None, 2)),
        task_ttl=random.choice((90.0, 3600.0)),
        task_timeout=60.0,
    )
    risky = QueueConfig(
        RISKY,
        max_workers=random.choice((2, 4)),
        priority=QueuePriority.HIGH,
        max_circuit_breaker_failures=random.choice((1, 3)),
        circuit_breaker_reset_timeout=random.choice((2.0, 10.0)),
        circuit_breaker_probes=random.choice((1, 1, 2)),
        max_retries=random.choice((0, 1)),
        lease=random.choice((2.0, 6.0)),
        max_deliveries=2,
    )
    tight = QueueConfig(
        TIGHT,
        max_workers=random.choice((1, 2)),
        priority=QueuePriority.LOW,
        max_size=random.choice((4, 10)),
        max_circuit_breaker_failures=None,
        lease=random.choice((2.0, 10.0)),
    )
    rate, per_key = random.choice(SOME_RATES), random.choice(SOME_LIMITS)
    return (attrs.evolve(main, rate=rate, per_key=per_key), risky, tight)
