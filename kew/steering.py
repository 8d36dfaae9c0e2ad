"""The part of the public API that steers queues, for all processes. It works without creating queues."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta
from typing import Any, Unpack

from kew.app.listing import TaskFilter
from kew.app.lookups import known_queue
from kew.app.ports import Command
from kew.app.process import Process
from kew.app.queue_status import setting_dict
from kew.domain.key_limits import KeyLimitPage, as_own_limits, lasts_ms
from kew.domain.overrides import Overridable, Override
from kew.domain.rate import Rate


class Steering(ABC):
    """What an operator does to a queue."""

    @abstractmethod
    def _here(self) -> Process:
        """The initialized process, in its event loop. Raises `TaskQueueError`."""

    async def pause_queue(self, queue_name: str, note: str = "") -> None:
        """Let no process claim from the queue; running tasks go on. Raises `QueueNotFoundError`.

        `note` (who and why, in one line) appears with the time in the queue's status and in explanations.
        """
        await self._here().inspector.control(queue_name, Command.PAUSE, note)

    async def drain_queue(self, queue_name: str, note: str = "") -> None:
        """Let the queue accept nothing, and finish what it has, deferred tasks and retries included.

        Submits and replays raise `QueueDrainingError` in all processes, whatever they declare, until `resume_queue`.
        An override of `max_size` ends.
        `note` as for `pause_queue`. Raises `QueueNotFoundError`.
        """
        await self._here().inspector.control(queue_name, Command.DRAIN, note)

    async def resume_queue(self, queue_name: str) -> None:
        """Undo `pause_queue` and `drain_queue`, and end a snooze of the queue (`RateLimited(scope="queue")`).

        The queue accepts and starts tasks. Raises `QueueNotFoundError`.
        """
        await self._here().inspector.control(queue_name, Command.RESUME)

    async def purge_queue(
        self,
        queue_name: str,
        *,
        state: str | None = None,
        function: str | None = None,
        key: object = None,
        dry_run: bool = False,
    ) -> int:
        """Cancel the tasks that wait in the queue, deferred tasks and retries included; how many that was.

        `state` ("ready", "deferred" or "stuck"), `function` (the name under which processes know it) and `key` (as for
        a submit) choose among them, as in `get_tasks`. `dry_run`: only count them. Running tasks go on, and so does
        what is submitted after the call. It works in small steps: if it raises or is cancelled, a part is done, and
        another call does the rest. Raises `QueueNotFoundError` and `InvalidConfigError`.
        """
        known_queue(queue_name)
        wanted = TaskFilter.of(state=state, function=function, key=key)
        steering = self._here().inspector.steering
        if dry_run:
            return await steering.count(queue_name, wanted.waiting)
        return await steering.purge(queue_name, wanted.waiting)

    async def set_overrides(
        self, queue_name: str, *, by: str = "", **values: Unpack[Overridable]
    ) -> None:
        """Put values in force in place of what the code declares, for all processes, until they are removed.

        They take the names and values of `QueueConfig`, and join the overrides that are there. Processes follow at
        once, and later declarations don't undo them. What a function or a submit says of its own tasks takes
        precedence, as it does over the queue's settings. `by` (one line): who sets them; by default the name of this
        process. Raises `InvalidConfigError` and `QueueNotFoundError`.
        """
        here = self._here()
        who = by or here.presence.name
        await here.inspector.steering.set_overrides(queue_name, values, who)

    async def overrides(self, queue_name: str) -> dict[str, Override]:
        """The overrides in force, by name: the value, what the code declares instead, who set it, and when.

        Raises `QueueNotFoundError`.
        """
        return await self._here().inspector.steering.overrides(queue_name)

    async def queue_settings(self, queue_name: str) -> dict[str, dict[str, Any]]:
        """The settings that all processes share, as plain values: each with `value`, `declared` and `overridden`.

        `value` is in force, `declared` is what the code says. They have the names and units of `QueueConfig`, with
        `per_key.max_workers` for a part. Raises `QueueNotFoundError`.
        """
        found = await self._here().inspector.steering.settings(queue_name)
        return {name: setting_dict(setting) for name, setting in found.items()}

    async def remove_overrides(self, queue_name: str, *names: str) -> None:
        """Let what the code declares be in force again, for these names (without any: for all).

        Raises `InvalidConfigError` for a name that can't be overridden, and `QueueNotFoundError`.
        """
        await self._here().inspector.steering.remove_overrides(queue_name, names)

    async def set_key_limit(
        self,
        queue_name: str,
        key: object,
        *,
        max_workers: int | None = None,
        rate: Rate | tuple[Rate, ...] | None = None,
        max_size: int | None = None,
        expires_in: float | timedelta | None = None,
    ) -> None:
        """Give a key of a queue limits of its own, for all processes, also while its tasks run.

        They take the values of `PerKey` and replace the limits that the key had of its own. What is None stays as
        `per_key` declares; `rate=()` means no rate. `key` is given as for a submit. They last until they are removed,
        or for `expires_in` (seconds or a timedelta). Raises `InvalidConfigError` and `QueueNotFoundError`.
        """
        own, ms = as_own_limits(max_workers, rate, max_size), lasts_ms(expires_in)
        await self._here().inspector.steering.limit_key(queue_name, key, own, ms)

    async def key_limits(
        self,
        queue_name: str,
        *,
        key: object = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> KeyLimitPage:
        """A page of the limits that keys of a queue have of their own, or those of one key.

        `limit`: about how many, from 1 to 1,000; a small queue's are on one page, by key. `cursor`: that of the page
        before. Limits that change meanwhile may be on two pages. Raises `InvalidConfigError` and `QueueNotFoundError`.
        """
        steering = self._here().inspector.steering
        return await steering.key_limits(queue_name, key, limit=limit, cursor=cursor)

    async def remove_key_limit(self, queue_name: str, key: object) -> None:
        """Let a key have the limits of `per_key` again. Nothing happens if it has none of its own.

        Raises `InvalidConfigError` and `QueueNotFoundError`.
        """
        await self._here().inspector.steering.limit_key(queue_name, key, None, 0)
