"""The schedules of one process: those that its code declares, the ticks of its queues, and what people ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from kew.app.ports import Entropy, PutSchedule, TaskStore
from kew.app.registry import Registry
from kew.app.repeat import answered, until_answered
from kew.app.results import Results
from kew.app.scheduling.declaring import Declaration
from kew.app.scheduling.office import ScheduleOffice
from kew.app.scheduling.ticker import Ticker, words_of
from kew.app.spawning import Owned
from kew.app.submitting.encoding import Call, CallEncoder
from kew.domain.errors import InvalidTaskError
from kew.domain.requests import Word
from kew.domain.schedule import Schedule
from kew.domain.schedule_errors import InvalidScheduleError
from kew.log import logger


class Served(Protocol):
    """What it needs of a queue's services."""

    @property
    def worker(self) -> object | None: ...
    @property
    def maintainer(self) -> Any: ...


class Scheduling:
    """One process's part in schedules. `served`: the queues that it declared; `poll`: seconds between two polls."""

    def __init__(
        self,
        store: TaskStore,
        entropy: Entropy,
        *,
        registry: Registry,
        encoder: CallEncoder,
        served: Mapping[str, Served],
        results: Results,
        poll: float,
    ) -> None:
        self._store = store
        self._entropy = entropy
        self._registry = registry
        self._encoder = encoder
        self._served = served
        self._results = results
        self._background = Owned("schedules", lambda: None)
        self._works: set[str] = set()
        self.ticker = Ticker(store, lambda: self._works, self._until_ended, poll=poll)
        self.office = ScheduleOffice(store, entropy)

    async def _until_ended(self, queue: str, task_id: str) -> None:
        await self._results.wait(queue, task_id, lambda task: None)

    # --- life

    def start(self, queue: str) -> None:
        """Submit the ticks of this queue's schedules from now on."""
        self._works.add(queue)
        self.ticker.start()

    def close(self) -> None:
        """End, at once."""
        self.ticker.close()
        for task in self._background:
            task.cancel()

    # --- what code declares

    def declared(self) -> list[str]:
        """The names of the schedules that this process's code declares for queues on which it works."""
        works = {name for name, each in self._served.items() if each.worker is not None}
        return [name for name, said in self._registry.schedules.items() if said.queue in works]

    async def declare(self, queue: str) -> None:
        """Put the schedules that code declares for this queue, if this process works on it.

        Raises `InvalidScheduleError` and `StoreUnavailableError`.
        """
        served = self._served.get(queue)
        if served is None or served.worker is None:
            return
        for said in list(self._registry.schedules.values()):
            if said.queue == queue:
                schedule = self.schedule_of(said, by_code=True)
                word = await answered(self._putting(schedule))
                _log(schedule, word)

    def declare_soon(self, said: Declaration) -> None:
        """Put a schedule that code has just declared, if this process works on its queue.

        Raises `InvalidScheduleError`.
        """
        if said.queue in self._works:
            self._background.begin(self._declare_one(self.schedule_of(said, by_code=True)))

    async def _declare_one(self, schedule: Schedule) -> None:
        word = await until_answered(f"schedule {schedule.name}", self._putting(schedule))
        _log(schedule, word)

    def _putting(self, schedule: Schedule) -> Callable[[], Any]:
        operation = PutSchedule(schedule, self._entropy.identity())
        return lambda: self._store.do(operation)

    def schedule_of(self, said: Declaration, *, by_code: bool, priority: int = 0) -> Schedule:
        """The value to be stored. `priority`: the queue's, if this process doesn't serve it.

        Raises `InvalidScheduleError`.
        """
        served = self._served.get(said.queue)
        call = Call(
            task_id=said.name,
            task_type=said.task_type,
            function=said.function,
            args=said.args,
            kwargs=said.kwargs,
        )
        known = served.maintainer.priority if served else priority
        works = served is not None and served.worker is not None
        try:
            submission = self._encoder.prepare(call, known, said.queue, works)
        except InvalidTaskError as error:
            raise InvalidScheduleError(f"schedule {said.name!r}: {error.reason}") from error
        return said.schedule(submission, by_code=by_code)


def _log(schedule: Schedule, word: Word) -> None:
    if word is Word.DONE:
        logger.info(
            "schedule %s: declared for queue %s, %s",
            schedule.name,
            schedule.queue,
            words_of(schedule),
        )
