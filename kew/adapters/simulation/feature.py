"""What a feature and a workload are, and the hands of a user: what they can do with a manager in a simulation."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, NoReturn

import attrs

from kew.adapters.simulation.facts import Asked, Facts
from kew.adapters.simulation.handlers import Script, perform, perform_patiently
from kew.adapters.simulation.hosts import Host
from kew.adapters.simulation.processes import EPOCH_S
from kew.adapters.simulation.runs import Runs
from kew.domain.config import QueueConfig
from kew.domain.errors import (
    QueueFullError,
    QueueNotFoundError,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskAlreadyExistsError,
)
from kew.domain.task import QueuePriority
from kew.handles import TaskHandle
from kew.manager import TaskQueueManager
from kew.queues import CircuitBreaker

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
    """Which features a run mixes, and the queues that it has (None: the usual ones)."""

    name: str
    features: Sequence[Feature]
    queues: Callable[[Random], Sequence[QueueConfig]] | None = None


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
        """Submit it, again and again while that isn't certain; None: it was refused, or nobody knows."""
        priority = options.pop("priority", self.random.choice(PRIORITIES))
        if options.get("_defer_by"):
            asked.delay_ms = math.ceil(options["_defer_by"] * 1000)
        token = None
        for _ in range(TRIES):
            try:
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
            except (StoreUnavailableError, QueueFullError):
                if token is None:
                    self.facts.refused(asked.id)
                return None
            except TaskAlreadyExistsError:
                self.fail(f"{asked.id} is said to exist, and was submitted once")
            else:
                self.facts.accepted(asked.id)
                return TaskHandle(self.manager, info)
        return None

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
        """The user was told that there is no such record; there was one, so its time must be over."""
        task = self.facts.records.get(task_id)
        if task is not None and not task.is_terminal:
            self.fail(f"{task_id} is said to be missing, and is {task.status.value}")

    def fail(self, text: str) -> NoReturn:
        """What the user was told is wrong."""
        self.facts.fail("answers", f"{self.host}: {text}")


def prepare(manager: TaskQueueManager) -> None:
    """Register the functions of all scripts."""
    from kew.adapters.simulation import handlers

    manager.register(handlers.perform)
    manager.register(handlers.perform_plainly)
    manager.task(at_most_once=True)(handlers.perform_once)
    manager.task(max_retries=3, retry_delay=0.5)(perform_patiently)
    manager.task(timeout=1.5)(handlers.perform_in_time)


def usual_queues(random: Random) -> Sequence[QueueConfig]:
    """A roomy queue, one whose tasks fail and whose breaker is quick, and a tight one."""
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
    return (main, risky, tight)
