"""A queue's worker in this process: claims with free slots only, runs what it is granted, releases the rest.

The rules are those of the protocol: a claim in flight is never cancelled; slots are reserved before it is sent; a slot
is free again when the outcome of its run was acknowledged; nothing starts under a lease that may have ended meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from kew.app.labels import shown_limits
from kew.app.ports import TaskStore, Uptime
from kew.app.spawning import clean_context, spawn
from kew.app.tracing import Tracer
from kew.app.working.admission import Admission
from kew.app.working.capacity import Capacity
from kew.app.working.checkpoints import Checkpoints
from kew.app.working.claims import Claims
from kew.app.working.cleanups import Cleanups
from kew.app.working.executor import Executor
from kew.app.working.keeper import Keeper
from kew.app.working.lanes import Lanes
from kew.app.working.losses import Losses
from kew.app.working.reporter import Reporter
from kew.app.working.runner import Runner
from kew.app.working.settler import Settler
from kew.app.working.slots import Slots
from kew.domain.config import QueueConfig, Settings
from kew.domain.requests import Grant
from kew.domain.task import Task
from kew.log import logger

SETTLE_GRACE = 5.0  # seconds at most for outcomes to reach the store, at a shutdown that waits
CANCEL_GRACE = 2.0  # seconds that cancelled runs get at shutdown to end


class Worker:
    """One queue's slots in one process, and the services that fill and empty them."""

    # Long: it wires the services of a worker, each with what it needs of the others.
    def __init__(
        self,
        config: QueueConfig,
        *,
        lanes: Lanes,
        store: TaskStore,
        executor: Executor,
        reporter: Reporter,
        tracer: Tracer | None,
        capacity: Capacity,
        admission: Admission,
        uptime: Uptime | None,
        restore: Callable[[], Coroutine[Any, Any, None]],
        compare: Callable[[Grant], None],
    ) -> None:
        self.config = config
        self.lanes = lanes
        self.slots = Slots(config.name, config.slots)
        self.losses = Losses(config.name, store, reporter, self.slots.background)
        self._executor = executor
        self._admission = admission
        self._keeper = Keeper(self.slots, store, config, uptime)
        self.claims = Claims(
            config,
            self.slots,
            lanes=lanes,
            store=store,
            capacity=capacity,
            losses=self.losses,
            uptime=self._keeper.uptime,
            admit=self._admit,
            restore=restore,
            compare=compare,
        )
        self.settler = Settler(
            config,
            self.slots,
            claims=self.claims,
            store=store,
            executor=executor,
            reporter=reporter,
        )
        self._cleanups = Cleanups(self._is_cancelled)
        self._runner = Runner(
            config,
            self.slots,
            claims=self.claims,
            executor=executor,
            reporter=reporter,
            admission=admission,
            keeper=self._keeper,
            checkpoints=Checkpoints(config.name, store, executor.codec),
            settler=self.settler,
            cleanups=self._cleanups,
            is_cancelled=self._is_cancelled,
            tracer=tracer,
        )
        self._loops: list[asyncio.Task[None]] = []

    def _admit(self, tasks: Sequence[Task], sent_at: float) -> None:
        self._runner.admit(tasks, sent_at=sent_at)

    # --- life

    def start(self) -> None:
        """Begin to claim."""
        name = self.config.name
        logger.info(
            "queue %s: this process works on it, up to %s at once (%s)",
            name,
            self.slots.size,
            shown_limits(self.config),
        )
        claims = self.claims.claim_when_woken()
        leases = self._keeper.extend_regularly(self._runner.release_dead)
        self._loops = [
            spawn(claims, name=f"kew-claims-{name}", context=clean_context()),
            spawn(leases, name=f"kew-leases-{name}", context=clean_context()),
        ]
        self._admission.join(self.slots)
        self.claims.begin()

    def _is_cancelled(self) -> bool:
        """Its own loops are cancelled: the event loop ends."""
        return any(each.cancelling() for each in self._loops)

    @property
    def has_ended(self) -> bool:
        """It claims no more, although nothing closed it."""
        return any(each.done() for each in self._loops)

    def close(self) -> None:
        """Claim no more; what runs goes on."""
        self.slots.is_closing = True
        self.claims.close()

    async def stop(self, *, wait: bool, timeout: float) -> None:
        """Stop claiming, wait for running tasks, and release what still runs, except threads and what refuses to end.

        `timeout` bounds the running; the outcomes of what has ended get a few seconds to reach the store, however long
        that is.
        """
        self.close()
        slots, timeout = self.slots, timeout if wait else 0.0
        until = asyncio.get_running_loop().time() + timeout
        await slots.until(lambda: all(run.is_settling for run in slots), timeout)
        slots.ask_all_to_stop()
        left = until - asyncio.get_running_loop().time()
        grace = max(CANCEL_GRACE, min(left, SETTLE_GRACE))
        await slots.until(
            lambda: all(run.is_thread and not run.is_settling for run in slots), grace
        )
        left = until - asyncio.get_running_loop().time()
        await self._cleanups.end(max(CANCEL_GRACE, left))

    async def until_ended(self, token: int, timeout: float) -> None:
        """Wait until the attempt with this fencing token no longer runs, at most `timeout` seconds."""
        await self.slots.until(
            lambda: all(run.task.token != token or run.is_settling for run in self.slots), timeout
        )

    async def drain(self) -> None:
        """Wait a little for the answers to claims, and release what they bring."""
        await self.slots.until(self._is_quiet, CANCEL_GRACE)

    def _is_quiet(self) -> bool:
        slots = self.slots
        return not slots.is_settling and self.claims.are_all_answered and not slots.background

    async def until_stopped(self) -> None:
        """Wait until what was cancelled has ended, but for what refuses to."""
        handles = [run.handle for run in self.slots if run.handle and not run.is_thread]
        if handles:
            await asyncio.wait(handles, timeout=CANCEL_GRACE)

    async def end(self) -> None:
        """Stop using the store, at once; what still runs is asked to stop."""
        self.close()
        self.slots.is_over = True
        self.slots.ask_all_to_stop()
        self.claims.end()
        self._keeper.close()
        owned = [*self._loops, *self.slots.background]
        for task in owned:
            task.cancel()
        await asyncio.gather(*owned, return_exceptions=True)

    # --- what others ask of it

    async def hold_leases(self, store: TaskStore) -> None:
        """Extend its leases in another thread, while the event loop is blocked: see `Keeper.hold`."""
        await self._keeper.hold(store)

    def load(self) -> int:
        """Slots in use or reserved."""
        return self.slots.load()

    def wake(self) -> None:
        """Look for work as soon as a slot is free."""
        self.claims.wake()

    @property
    def is_idle(self) -> bool:
        """It has a free slot and nothing on its way."""
        return self.claims.is_idle

    def use(self, settings: Settings) -> None:
        """Judge by these from now on: another process declared them."""
        self._executor.use(settings)
        share = self.config.max_workers_per_process or settings.max_workers
        self.slots.size = min(settings.max_workers, share)
        self.claims.priority = settings.priority
        self.wake()

    def stop_task(self, task_id: str = "") -> None:
        """This task (any, by default) may have been asked to stop: extend the leases soon, which shows it."""
        if any(task_id in ("", run.task.id) for run in self.slots):
            self._keeper.hasten()
