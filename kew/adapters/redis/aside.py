"""What Python meets and doesn't read. Damage is set aside, so that it spoils no other record and no task ends up in no
index; what a newer version of kew wrote is left alone. Both are logged.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from kew.adapters.redis.library import Argument
from kew.adapters.redis.records import (
    VERSION,
    Raw,
    newer_version,
    queue_named_in,
    read_strictly,
    record_of,
)
from kew.adapters.redis.replies import Unread
from kew.app.ports import StoreError
from kew.domain.errors import TaskUnreadableError
from kew.domain.task import Found, Unreadable
from kew.log import logger

T = TypeVar("T")


class Aside:
    """Moves unreadable records to an index of their own, in the background. `send` carries the operation out."""

    def __init__(self, send: Callable[[str, Sequence[Argument]], Awaitable[object]]) -> None:
        self._send = send
        self._moves: set[asyncio.Task[None]] = set()
        self._unread = (
            Unread()
        )  # of the next answer: most have nothing of the kind, and leave it as it is
        self._newest: dict[str, int] = {}  # the version that was logged, by queue

    def read(self, queue: str, read: Callable[..., T], *answer: Any) -> T:
        """What `read` makes of an answer; it adds what it can't read to its last argument, and that is set aside."""
        unread = self._unread
        try:
            value = read(*answer, unread)
        except BaseException:
            self._unread = Unread()
            raise
        if unread.records or unread.newest:
            self._unread = Unread()
            self._met(queue, unread)
        return value

    def _met(self, queue: str, unread: Unread) -> None:
        if unread.records:
            self.begin(queue, unread.records)
        if unread.newest:
            self.met_newer(queue, unread.newest)

    def found(self, task_id: str, raw: Raw | None, end: int) -> Found:
        """The task of a record, without its payload; what can't be read is set aside in the queue that it names."""
        if raw is None:
            return None
        try:
            return read_strictly(task_id, raw, end, with_payload=False)
        except TaskUnreadableError as error:
            record = record_of(raw)
            queue, newer = queue_named_in(record), newer_version(record)
            if newer:
                self.met_newer(queue, newer)
                return Unreadable(task_id, f"it has version {newer}", is_newer=True)
            if queue:
                self.begin(queue, [(task_id.encode(), record)])
            return Unreadable(task_id, error.reason)

    def met_newer(self, queue: str, version: int) -> None:
        """A record or the queue's settings have a version that this process doesn't know: log each version once."""
        if self._newest.get(queue, VERSION) >= version:
            return
        self._newest[queue] = version
        logger.warning(
            "queue %s: a newer version of kew stored data that this process doesn't know (version %d, known is %d): it "
            "leaves such tasks to other processes, and get_queue_status(%r)['newer_tasks'] counts them; upgrade kew",
            queue,
            version,
            VERSION,
            queue,
        )

    def begin(self, queue: str, unread: Sequence[tuple[bytes, bytes]]) -> None:
        """Set aside what an answer had that can't be read."""
        move = asyncio.get_running_loop().create_task(self._move(queue, unread))
        self._moves.add(move)
        move.add_done_callback(self._moves.discard)

    async def close(self) -> None:
        """Give up what is under way: it is met again by the next one that reads it."""
        for move in self._moves:
            move.cancel()
        await asyncio.gather(*self._moves, return_exceptions=True)

    async def _move(self, queue: str, unread: Sequence[tuple[bytes, bytes]]) -> None:
        refs: list[Argument] = []
        for task_id, raw in unread:
            logger.error(
                "queue %s: the record of task %r can't be read and is set aside; "
                "manager.unreadable_tasks(%r) lists such tasks, and manager.remove_unreadable_task() removes one",
                queue,
                task_id.decode(errors="backslashreplace"),
                queue,
            )
            refs += (task_id, hashlib.sha1(raw, usedforsecurity=False).hexdigest())
        try:
            await self._send(queue, refs)
        except StoreError as error:
            logger.warning("queue %s: could not set aside unreadable tasks: %s", queue, error)
