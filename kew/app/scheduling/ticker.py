"""Submitting the ticks of schedules at the instants at which they are due.

Each process that works on a queue does this for the schedules of the queue. All of them wait for the same instant, by a
timer, and the store lets one of them submit the tick. It is the store's clock that counts, not that of the host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Final, TypeVar

from kew.app.ports import ListSchedules, Operation, StoreError, TaskStore, Tick
from kew.app.repeat import Failures, pauses
from kew.app.scheduling.timetables import times_of
from kew.app.spawning import Owned, clean_context, spawn
from kew.domain.errors import TaskQueueError
from kew.domain.requests import Word
from kew.domain.schedule import (
    LATER,
    DuePlan,
    Overlap,
    Schedule,
    StoredSchedule,
    TickCommit,
    call_of,
    iso,
    plan,
    tick_nonce,
)
from kew.log import logger

A = TypeVar("A")
LOOKS_EVERY: Final = 30
"""In polls of an idle queue: how often the schedules are read, in case a notification was lost or a clock was set."""
AGAIN_AFTER: Final = 5.0  # seconds after which a tick is tried again that a queue did not take
LEAST_WAIT: Final = 0.001  # seconds; where this process believed that a tick was due, and the store says that it isn't
AT_ONCE: Final = 100  # ticks of one schedule, before others have their turn


class Ticker:
    """The schedules of the queues that one process works on: `served` has their names.

    `until_ended` waits until a task has ended. `poll`: seconds between two polls of an idle queue.
    """

    def __init__(
        self,
        store: TaskStore,
        served: Callable[[], Collection[str]],
        until_ended: Callable[[str, str], Awaitable[object]],
        *,
        poll: float,
    ) -> None:
        self._store = store
        self._served = served
        self._until_ended = until_ended
        self._look_every = poll * LOOKS_EVERY
        self._known: dict[str, StoredSchedule] = {}
        self._plans: dict[str, DuePlan] = {}
        self._not_before: dict[str, float] = {}  # in the event loop's time
        self._awaited: dict[str, str] = {}  # the task that a schedule waits for, by its name
        self._ahead_ms = 0.0  # of the store's clock before the event loop's
        self._looks_at = 0.0
        self._is_changed = asyncio.Event()
        self._blamed: set[str] = set()
        self._background = Owned("schedules", self._is_changed.set)
        self._task: asyncio.Task[None] | None = None

    # --- life

    def start(self) -> None:
        """Begin, if it hasn't; else look at the schedules soon: this process works on another queue."""
        if self._task is None:
            self._task = spawn(self._run(), name="kew-schedules", context=clean_context())
        else:
            self.look()

    def close(self) -> None:
        """End, at once."""
        for task in (self._task, *self._background):
            if task is not None:
                task.cancel()

    def look(self) -> None:
        """Read the schedules soon: they may have changed."""
        self._looks_at = 0.0
        self._is_changed.set()

    # --- the loop

    async def _run(self) -> None:
        failures, again = Failures("schedules: no answer from the store"), pauses()
        while True:
            self._is_changed.clear()
            try:
                await self._round()
                failures.end()
                again = pauses()
            except StoreError as error:
                failures.add(error)
                await asyncio.sleep(next(again))
            except Exception:
                # A bug must not end the ticks of all other schedules.
                logger.exception("schedules: a round failed")
                await asyncio.sleep(AGAIN_AFTER)
            else:
                await self._wait()

    async def _round(self) -> None:
        """Read the schedules if it is time, and submit what is due."""
        if asyncio.get_running_loop().time() >= self._looks_at:
            await self._read()
        for name in list(self._known):
            await self._submit_due(name)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        self._looks_at = loop.time() + self._look_every  # a change from now on is read again
        served = self._served()
        listed = await self._do(ListSchedules(tuple(sorted(served))))
        self._saw(listed.now_ms)
        found = {each.schedule.name: each for each in listed.schedules}
        self._known = {name: it for name, it in found.items() if it.schedule.queue in served}
        self._not_before = {n: at for n, at in self._not_before.items() if n in self._known}
        self._plans.clear()

    async def _do(self, operation: Operation[A]) -> A:
        return await self._store.do(operation)

    def _saw(self, now_ms: int) -> None:
        self._ahead_ms = now_ms - asyncio.get_running_loop().time() * 1000

    def _now(self) -> int:
        """The store's time by its last answer, and what has passed since. (Floor: no tick is tried too early.)"""
        return int(asyncio.get_running_loop().time() * 1000 + self._ahead_ms)

    async def _wait(self) -> None:
        """Until a tick is due, the schedules have changed, or it is time to look."""
        at = min((self._looks_at, *self._instants()))
        try:
            async with asyncio.timeout_at(at):
                await self._is_changed.wait()
        except TimeoutError:
            return

    def _instants(self) -> Iterator[float]:
        """When, in the event loop's time, each schedule may have to be looked at again."""
        soonest = asyncio.get_running_loop().time() + LEAST_WAIT
        for name, known in self._known.items():
            planned = self._plan(known)
            if name in self._awaited or planned is None:
                continue
            due = planned.next_at if planned.upto is None else self._now()
            if due is not None:
                at = (due - self._ahead_ms) / 1000
                yield max(soonest, at, self._not_before.get(name, 0.0))

    def _plan(self, known: StoredSchedule) -> DuePlan | None:
        """What is to be done for a schedule now; None: its ticks can't be computed here, which is logged."""
        name, planned = known.schedule.name, self._plans.get(known.schedule.name)
        if planned and planned.upto is None and (planned.next_at or self._now() + 1) > self._now():
            return planned
        try:
            planned = self._plans[name] = plan(known, times_of(known.schedule), self._now())
        except TaskQueueError as error:
            if name not in self._blamed:
                self._blamed.add(name)
                logger.warning("schedule %s: this process can't submit its ticks: %s", name, error)
            return None
        return planned

    # --- one schedule

    async def _submit_due(self, name: str) -> None:
        """Submit what is due of it, one tick after the other."""
        loop = asyncio.get_running_loop()
        for _ in range(AT_ONCE):
            known = self._known.get(name)
            if (
                known is None
                or name in self._awaited
                or loop.time() < self._not_before.get(name, 0.0)
            ):
                return
            planned = self._plan(known)
            if planned is None or planned.upto is None:
                return
            if not await self._commit(known, planned, planned.upto):
                return

    async def _commit(self, known: StoredSchedule, planned: DuePlan, upto: int) -> bool:
        """Let the store deal with a tick. True: there may be another one."""
        schedule, nonce = known.schedule, tick_nonce(known.edition, planned.missed)
        commit = TickCommit(
            name=schedule.name,
            edition=known.edition,
            after=known.after,
            upto=upto,
            overlap=schedule.overlap,
            call=call_of(schedule, upto, nonce) if planned.submits else None,
        )
        answer = await self._do(Tick(schedule.queue, commit))
        self._saw(answer.now_ms)
        self._plans.pop(schedule.name, None)
        if answer.schedule is None:
            self._known.pop(schedule.name, None)
            return False
        self._known[schedule.name] = answer.schedule
        self._report(schedule, planned, upto, answer.word)
        if answer.word is Word.BUSY and schedule.overlap is Overlap.ONE:
            self._await_end(answer.schedule)
        elif answer.word in LATER:
            self._not_before[schedule.name] = asyncio.get_running_loop().time() + AGAIN_AFTER
        else:
            return answer.word is not Word.AHEAD
        return False

    def _report(self, schedule: Schedule, planned: DuePlan, upto: int, word: Word) -> None:
        """Log what became of a tick, if it isn't a task."""
        name, due = schedule.name, iso(upto)
        if word in (Word.STALE, Word.AHEAD, Word.SAME):
            return
        if word is Word.DUPLICATE:
            logger.info("schedule %s: the tick of %s has a task already", name, due)
            return
        if word is Word.DONE and planned.submits:
            if planned.missed:
                logger.warning(
                    "schedule %s: %s ticks before %s were missed", name, planned.missed, due
                )
        elif word is Word.DONE:
            logger.warning(
                "schedule %s: the tick of %s came too late, and was passed over", name, due
            )
        elif word is Word.BUSY:
            what = "waits" if schedule.overlap is Overlap.ONE else "was passed over"
            logger.info(
                "schedule %s: the tick of %s %s, since the one before still runs", name, due, what
            )
        elif word in LATER:
            logger.warning(
                "schedule %s: queue %s does not take the tick of %s (%s); trying again",
                name,
                schedule.queue,
                due,
                word,
            )
        else:
            logger.error("schedule %s: the tick of %s can't be submitted (%s)", name, due, word)

    def _await_end(self, known: StoredSchedule) -> None:
        name = known.schedule.name
        self._awaited[name] = known.last_task_id
        self._background.begin(self._until_free(name, known.schedule.queue, known.last_task_id))

    async def _until_free(self, name: str, queue: str, task_id: str) -> None:
        try:
            await self._until_ended(queue, task_id)
        except (
            TaskQueueError
        ):  # its record has gone, or can't be read: the store knows what that means
            self._not_before[name] = asyncio.get_running_loop().time() + AGAIN_AFTER
        finally:
            del self._awaited[name]


def words_of(schedule: Schedule) -> str:
    """When its ticks are due, in words."""
    if schedule.cron:
        return f"{schedule.cron} ({schedule.tz})"
    return f"every {schedule.every_ms / 1000:g} s"
