"""What a queue's worker does besides tasks: its presence, the slow poll behind the notifications, and clearing up.

One plain command a tick while the queue is idle; every fifth tick renews the presence, every twentieth sweeps. Each of
these duties is a loop of its own, so that a long sweep or a slow answer never delays the presence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import attrs

from kew.app import steady
from kew.app.declaring import Announced
from kew.app.ports import (
    Announce,
    Declare,
    Depart,
    Entropy,
    Find,
    Peek,
    ReadSettings,
    Status,
    StoreError,
    TaskStore,
)
from kew.app.registry import Registry
from kew.app.repeat import Failures, until_answered
from kew.app.single_flight import SingleFlight
from kew.app.spawning import clean_context, spawn
from kew.app.steady import Steady
from kew.app.sweeping import TICKS_PER_SWEEP, sweep
from kew.app.working.presence import Presence
from kew.app.working.stranded import Stranded
from kew.app.working.worker import Worker
from kew.domain.config import TICK, TICKS_PER_PRESENCE, Settings
from kew.domain.explaining import SlotLimit
from kew.domain.requests import Grant, Word
from kew.log import logger

# In ticks since tasks began to wait: the store knows that a function is stuck once a claim has met its task, which may
# be after the first poll.
FIRST_LOOKS = (1, 2, 2 + TICKS_PER_PRESENCE)
FOLLOWED_EVERY = 60.0  # seconds, of the settings of a queue that this process doesn't work on
PINS_AT_ONCE = 100  # that one renewal compares with the store


# Long: it introduces a queue and keeps it introduced, which is one state: what the store knows of this process.
# Wide: each duty is a method of its own.
class Maintainer:
    """The background duties of one queue in one process.

    `slots`: those of this process, for others to know; `presence`: what else it says of itself. `priority`: of the
    queue's tasks, if neither the submit nor the function gives one, by the settings in force.
    """

    def __init__(
        self,
        queue: str,
        *,
        incarnation: str,
        settings: Settings,
        store: TaskStore,
        registry: Registry,
        entropy: Entropy,
        works: bool = True,
        slots: SlotLimit | None = None,
        presence: Presence | None = None,
        tick: float = TICK,
    ) -> None:
        self._slots = slots
        self._presence = presence
        self._queue = queue
        self._incarnation = incarnation
        self._declared = self._in_force = self._by_code = settings
        self._store = store
        self._registry = registry
        self._works = works
        self.priority = settings.priority
        self._entropy = entropy
        self._edition = ""
        self._use: Callable[[Settings], None] = lambda settings: None
        self._tick = tick
        self._announced = -1  # how many of the registry's names were announced
        self._is_over = False
        self._is_outdated = False  # other settings came into force since they were looked up
        self._steady = Steady()
        self._stranded = Stranded(queue, registry)
        self._looks = 0
        self._waited = 0  # ticks in a row at which tasks waited, as far as this process knows
        self.announce_once = SingleFlight(self.announce)
        self._tasks: list[asyncio.Task[None]] = []
        self._refreshing: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._reannouncing: asyncio.Task[None] | None = None
        self._wake: Callable[[], None] = lambda: None

    # --- introducing

    async def declare(self) -> None:
        """Create the queue. If it exists, a process that works on it makes its own configuration the queue's; another
        process follows the settings in force. Raises StoreError.
        """
        if not self._works:
            await self._create()
            return
        edition = self._entropy.identity()
        declared = await self._store.do(Declare(self._queue, self._declared, edition))
        in_force = declared.in_force or self._declared
        self._edition = declared.edition
        if declared.replaced is not None:
            logger.warning(
                "queue %s: settings changed by this declaration, for all processes: %s",
                self._queue,
                difference(declared.replaced, self._declared),
            )
        self._log_overrides(self._declared, in_force)
        self._follow(in_force, self._declared)

    async def _create(self) -> None:
        """Create the queue if the store has none of that name, and follow its settings. Raises StoreError.

        A queue that the store lost gets the settings that were declared last, as far as this process knows. Overrides
        are lost with it.
        """
        edition, known = self._entropy.identity(), self._by_code
        declared = await self._store.do(Declare(self._queue, known, edition, replaces=False))
        found = await self._store.do(ReadSettings(self._queue))
        by_code = found.by_code if found else known
        self._edition = found.edition if found else declared.edition
        if by_code not in (self._declared, known) and not self._works:
            logger.info(
                "queue %s: this process doesn't work on it, so the settings of those that do stay in force: %s",
                self._queue,
                difference(self._declared, by_code),
            )
        self._follow(found.settings if found else known, by_code)

    async def announce(self) -> None:
        """Announce that this process serves the queue, and which functions it can run. Raises StoreError.

        Only new functions are sent, unless the answer shows that the store has lost some of the others.
        """
        if self._is_over:
            return  # no task may be left to this process any more
        news = self._registry.names(max(0, self._announced))
        known = max(0, self._announced) + len(news)
        answer = await self._send(news)
        if answer.word is Word.NO_QUEUE:
            await self._create()
        is_incomplete = answer.functions is not None and answer.functions < known
        if answer.word is Word.NO_QUEUE or is_incomplete:
            await self._send(self._registry.names()[:known])
        self._announced = max(self._announced, known)

    async def _send(self, names: Sequence[str]) -> Announced:
        loop, presence = asyncio.get_running_loop(), self._presence
        sent_at = loop.time()
        report = presence.report() if presence is not None else ""
        asked = Announce(
            self._queue, self._incarnation, names, steady.PRESENCE_MS, self._slots, report
        )
        try:
            answer = await self._store.do(asked)
        except BaseException:
            if presence is not None and report:
                presence.renew()
            raise
        if presence is not None and report and answer.word is Word.NO_QUEUE:
            presence.renew()
        self._steady.saw(answer.now_ms, sent_at, loop.time())
        return answer

    async def introduce(self) -> None:
        """Declare the queue and, if this process works on it, announce. Raises StoreError."""
        await self.declare()
        if self._works:
            await self.announce()
        elif self._following is None and not self._is_over:
            self._following = spawn(self._keep_following(), context=clean_context())

    async def _keep_following(self) -> None:
        """Look up the settings now and then: without work on the queue, no claim brings them."""
        while True:
            await asyncio.sleep(FOLLOWED_EVERY)
            try:
                await self._refresh()
            except Exception:
                # A bug, or unreadable bytes in the store: it must not end the following.
                logger.exception("queue %s: the settings can't be read", self._queue)

    async def restore(self) -> None:
        """The store has lost the queue, or this process's presence there: bring back what it lacks. Raises StoreError.

        What another process declared meanwhile stays.
        """
        await self._create()
        if self._works:
            await self.announce()

    def has_announced(self, function: str) -> bool:
        """The store knows that this process can run the function, or needs to know nothing more of it."""
        announced, registry = self._announced, self._registry
        is_known = announced == registry.version or announced >= registry.place_of(function)
        return self._is_over or is_known

    def compare(self, grant: Grant) -> None:
        """Compare what a claim's answer says with what this process believes that the store knows, and mend it soon."""
        if grant.edition != self._edition:
            self.look_at_settings()
        lost = grant.functions is not None and grant.functions < self._announced
        if lost and _is_free(self._reannouncing):
            logger.warning(
                "queue %s: the store has lost functions that this process announced; announcing them again",
                self._queue,
            )
            self._announced = 0
            self._reannouncing = spawn(self._reannounce(), context=clean_context())

    def look_at_settings(self) -> None:
        """Look them up soon: others are in force."""
        self._is_outdated = True
        if not self._is_over and _is_free(self._refreshing):
            self._refreshing = spawn(self._refresh(), context=clean_context())

    async def _reannounce(self) -> None:
        await until_answered(f"queue {self._queue}: announce", self.announce)
        self._wake()

    async def _refresh(self) -> None:
        """Follow the settings in force; once more if others came into force meanwhile."""
        self._is_outdated = True
        while self._is_outdated:
            self._is_outdated = False
            await self._look_up_settings()

    async def _look_up_settings(self) -> None:
        found = await until_answered(
            f"queue {self._queue}: settings", lambda: self._store.do(ReadSettings(self._queue))
        )
        if found is None:
            return
        by_code, self._edition = found.by_code, found.edition
        if by_code != self._declared and by_code != self._by_code and self._works:
            logger.warning(
                "queue %s: another process declared other settings (version %s), which apply: %s",
                self._queue,
                found.version,
                difference(self._declared, by_code),
            )
        self._log_overrides(by_code, found.settings)
        self._follow(found.settings, by_code)

    def _log_overrides(self, by_code: Settings, in_force: Settings) -> None:
        if in_force in (by_code, self._in_force):
            return
        logger.info(
            "queue %s: an operator's overrides apply: %s",
            self._queue,
            difference(by_code, in_force),
        )

    def _follow(self, settings: Settings, by_code: Settings) -> None:
        self._in_force, self._by_code = settings, by_code
        self.priority = settings.priority
        self._use(settings)

    # --- the tick

    def start(self, worker: Worker) -> None:
        """Begin the duties."""
        self._use, self._wake = worker.use, worker.wake
        self._use(self._in_force)  # what was overridden before this process declared the queue
        duties = (
            ("presence", self.announce, TICKS_PER_PRESENCE),
            ("poll", partial(self._look, worker), 1),
            ("sweep", partial(self._sweep, worker), TICKS_PER_SWEEP),
        )
        self._tasks = [
            spawn(
                self._repeat(what, duty, ticks),
                name=f"kew-{what}-{self._queue}",
                context=clean_context(),
            )
            for what, duty, ticks in duties
        ]

    async def stop(self) -> None:
        """End them, and this process's presence."""
        await asyncio.gather(*self.close(), return_exceptions=True)
        try:
            await self._store.do(Depart(self._queue, self._incarnation))
        except StoreError as error:
            logger.warning(
                "queue %s: could not end this process's presence, which will expire: %s",
                self._queue,
                error,
            )

    def close(self) -> list[asyncio.Task[None]]:
        """End the duties alone, at once: these tasks are about to end."""
        self._is_over = True
        owned = (*self._tasks, self._refreshing, self._following, self._reannouncing)
        tasks = [task for task in owned if task is not None]
        for task in tasks:
            task.cancel()
        return tasks

    async def _repeat(self, what: str, duty: Callable[[], Awaitable[None]], ticks: int) -> None:
        """Do it every so many ticks. No duty waits for another."""
        failures = Failures(f"queue {self._queue}: maintenance ({what}) failed")
        while True:
            await asyncio.sleep(self._tick * ticks)
            try:
                await duty()
                failures.end()
            except StoreError as error:
                self._steady.interrupt()
                failures.add(error)
            except Exception:
                # A bug must not end this loop: without its presence, this process would get no tasks.
                logger.exception("queue %s: maintenance (%s) failed", self._queue, what)

    async def _look(self, worker: Worker) -> None:
        self._looks += 1
        if self._looks % TICKS_PER_PRESENCE == 2:
            await self._check_pins()
        has_waiting = await self._peek(worker) if worker.is_idle else True
        self._waited = self._waited + 1 if has_waiting else 0
        if has_waiting and self._is_time_to_look(self._waited):
            await self._look_for_stranded(worker)

    async def _peek(self, worker: Worker) -> bool:
        """Whether tasks wait in the queue. If one of them may need the worker before the next tick, set its alarm."""
        peeked = await self._store.do(Peek(self._queue))
        if peeked.wait_ms is not None and peeked.wait_ms < self._tick * 1000:
            worker.claims.alarm.set(peeked.wait_ms / 1000)
        else:
            worker.claims.want_no_more()
        return peeked.has_waiting

    async def _sweep(self, worker: Worker) -> None:
        await sweep(self._store, self._queue, worker.losses, self._steady)

    def _is_time_to_look(self, waited: int) -> bool:
        """With trusted packages at every renewal, since tasks may wait for them; else early, and then now and then."""
        if self._registry.has_trust:
            return waited % TICKS_PER_PRESENCE == 1
        return waited in FIRST_LOOKS or waited % TICKS_PER_SWEEP == 0

    async def _check_pins(self) -> None:
        """Release closures whose tasks ended without this process noticing."""
        pins, now = self._registry.pins, asyncio.get_running_loop().time()
        due = pins.due_for_check(self._queue, now, PINS_AT_ONCE)
        if due:
            pins.compare(due, await self._store.do(Find([held.task_id for held in due])))

    async def _look_for_stranded(self, worker: Worker) -> None:
        """Tasks wait for functions that no process has announced: run those of a trusted package, log the others."""
        status = await self._store.do(Status(self._queue))
        stuck = dict(status.stuck) if status else {}
        known = [name for name in stuck if self._registry.can_run(name)]
        if known:
            await self.announce()
            worker.wake()
        self._stranded.look({name: stuck[name] for name in stuck.keys() - known})


def _is_free(task: asyncio.Task[None] | None) -> bool:
    return task is None or task.done()


def difference(before: Settings, after: Settings) -> str:
    """ "max_workers 4 -> 8, ..." for what changed."""
    old, new = attrs.asdict(before), attrs.asdict(after)
    return ", ".join(f"{name} {old[name]} -> {new[name]}" for name in old if old[name] != new[name])
