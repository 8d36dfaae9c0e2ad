"""What a claim brought and no replica confirmed: nothing of it may start, so its leases are released at once.

The claim itself is repeated until it is answered. From then on, no answer of it may bring a lease whose release is on
its way, or an answer that Redis gave before that release: the task may run elsewhere by now.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import partial
from typing import Final, TypeVar

import attrs

from kew.adapters.redis.arguments import FunctionCall, settle_arguments
from kew.adapters.redis.durability import Unconfirmed
from kew.adapters.redis.functions import Functions
from kew.adapters.redis.replies import Unread, read_tasks
from kew.app.ports import OnAnswer, Settled, StoreError, Submitted
from kew.domain.events import Released
from kew.domain.requests import Grant, make_settlement
from kew.domain.task import Task
from kew.log import logger

A = TypeVar("A", Settled, Submitted)
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds before a release is repeated
REMEMBERED: Final = 60.0  # seconds: no answer to a call takes as long


class Unstarted:
    """The unconfirmed leases of one process."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        # By lease, until when to remember it, in the loop's time; infinite while its release is on its way.
        self._leases: dict[str, float] = {}
        self._releases: set[asyncio.Task[None]] = set()

    def refuse(self, queue: str, error: BaseException | None, place: int) -> None:
        """A call failed: release what its reply says at this place that a claim brought, if it says so."""
        cause = None if error is None else error.__cause__
        reply = cause.reply if isinstance(cause, Unconfirmed) else None
        if reply is None or reply[place] is None:
            return
        _, _, _, leases, *_ = reply[place]
        self._begin(queue, read_tasks(leases, Unread()))

    def refusing(self, queue: str, place: int, on_answer: OnAnswer) -> OnAnswer:
        """What to call instead when a posted submit is answered."""
        return partial(self._answered, queue, place, on_answer)

    def without(self, queue: str, grant: Grant) -> Grant:
        """The grant without leases that were refused."""
        if not self._leases:
            return grant
        refused = [task for task in grant.tasks if task.lease in self._leases]
        if not refused:
            return grant
        self._begin(queue, refused)  # a new primary may have the claim, and not its release
        kept = tuple(task for task in grant.tasks if task.lease not in self._leases)
        return attrs.evolve(grant, tasks=kept)

    def answer(self, queue: str, answer: A) -> A:
        """The answer whose grant is without them."""
        if not self._leases or answer.grant is None:
            return answer
        return attrs.evolve(answer, grant=self.without(queue, answer.grant))

    async def close(self) -> None:
        """Release nothing more: the leases expire."""
        releases = tuple(self._releases)
        for release in releases:
            release.cancel()
        await asyncio.gather(*releases, return_exceptions=True)

    def _answered(
        self, queue: str, place: int, on_answer: OnAnswer, answer: asyncio.Future[Submitted]
    ) -> None:
        if not answer.cancelled():
            self.refuse(queue, answer.exception(), place)
        on_answer(answer)

    def _begin(self, queue: str, tasks: Sequence[Task]) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for lease in [each for each, until in self._leases.items() if until <= now]:
            del self._leases[lease]
        released = [task for task in tasks if self._leases.get(task.lease) != math.inf]
        if released:
            self._leases.update((task.lease, math.inf) for task in released)
            release = loop.create_task(self._send(queue, released))
            self._releases.add(release)
            release.add_done_callback(self._releases.discard)

    async def _send(self, queue: str, tasks: Sequence[Task]) -> None:
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
        rest = settle_arguments(
            [make_settlement(task.id, task.lease, Released(started=False)) for task in tasks]
        )
        call = self._functions.make("settle_alone", queue, {}, rest)
        logger.debug("queue %s: releasing %d unconfirmed tasks", queue, len(tasks))
        try:
            while not await self._is_sent(queue, call):
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            until = loop.time() + REMEMBERED
            self._leases.update((task.lease, until) for task in tasks)

    async def _is_sent(self, queue: str, call: FunctionCall) -> bool:
        try:
            await self._functions.reply_unconfirmed(call, queue)
        except StoreError as error:
            logger.debug("queue %s: could not release unconfirmed tasks: %s", queue, error)
            return False
        return True
