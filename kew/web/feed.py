"""What browsers follow: one reader of the store, however many of them there are, and only while there are any."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

from kew.app.json_values import json_value
from kew.domain.errors import TaskQueueError
from kew.log import logger

EVERY: Final = 1.0  # seconds between two looks, and so between two events
HEARTBEAT: Final = (
    10.0  # seconds without an event, after which a comment says that the stream is alive
)
LONGEST: Final = 600.0  # seconds that a stream lasts; then the browser opens another, with its session checked again
MOST_STREAMS: Final = 100
WATCHED_EVERY: Final = 0.5  # seconds between two looks at whether the server stops
PASSING: Final = ("now", "rates", "history", "keys")  # what changes as time passes
Values = Mapping[str, Any]


class Feed:
    """Reads snapshots while streams are open, and sends each stream the latest, if it has changed.

    `read` reads one. Values that change as time passes are sent with those that change otherwise, and every `heartbeat`
    seconds. A slow browser misses snapshots, and delays no other.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Values]],
        *,
        every: float = EVERY,
        heartbeat: float = HEARTBEAT,
        longest: float = LONGEST,
    ) -> None:
        self._read = read
        self._every = every
        self._heartbeat = heartbeat
        self._longest = longest
        self._streams = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = False
        self._latest = b""
        self._seen: object = None
        self._drifting: object = None
        self._drifts_at = 0.0
        self._changed = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether as many streams are open as may be."""
        return self._streams >= MOST_STREAMS

    async def stream(self) -> AsyncIterator[bytes]:
        """The events of one browser: the latest snapshot, and each one that differs."""
        end_at = asyncio.get_running_loop().time() + self._longest
        self._begin()
        sent = b""
        try:
            while asyncio.get_running_loop().time() < end_at and not self._is_over:
                changed = self._changed
                if self._latest != sent:
                    sent = self._latest
                    yield sent
                elif not await _happens(changed, self._heartbeat) and not self._is_over:
                    yield b": alive\n\n"
        finally:
            await self._end()

    def _begin(self) -> None:
        self._streams += 1
        if not self._tasks:
            self._latest, self._seen, self._is_over = b"", None, False
            self._tasks = [
                asyncio.create_task(self._follow(), name="kew-admin-feed"),
                asyncio.create_task(self._watch(), name="kew-admin-feed-end"),
            ]

    async def _end(self) -> None:
        self._streams -= 1
        if self._streams == 0:
            tasks, self._tasks = self._tasks, []
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _follow(self) -> None:
        while True:
            self._take(*await self._look())
            await asyncio.sleep(self._every)

    async def _watch(self) -> None:
        """End the streams when the server stops: it waits for them."""
        while not self._is_over:
            await asyncio.sleep(WATCHED_EVERY)
            self._is_over = server_stops()
        self._wake()

    async def _look(self) -> tuple[str, Values]:
        try:
            return "queues", await self._read()
        except TaskQueueError as error:
            return "problem", {"detail": str(error)}
        except Exception:
            logger.exception("admin: reading the queues failed unexpectedly")
            return "problem", {"detail": "an unexpected error occurred; the server's log has it"}

    def _take(self, name: str, values: Values) -> None:
        plain = json_value(values)
        seen, drifting = (name, _without(plain, PASSING)), (name, _without(plain, ("now",)))
        is_late = asyncio.get_running_loop().time() >= self._drifts_at
        if seen == self._seen and not (is_late and drifting != self._drifting):
            return
        self._drifting = drifting
        self._drifts_at = asyncio.get_running_loop().time() + self._heartbeat
        text = json.dumps(plain, allow_nan=False, separators=(",", ":"))  # without line breaks
        self._seen, self._latest = seen, f"event: {name}\ndata: {text}\n\n".encode()
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def server_stops() -> bool:
    """Whether the server of this process has been asked to stop, as far as that can be seen.

    uvicorn reports this to no application before the last response has ended. But a method of the server handles the
    signals, and the server says whether it is to exit.
    """
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    servers = [getattr(handler, "__self__", None) for handler in handlers]
    return any(getattr(server, "should_exit", False) is True for server in servers)


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _without(plain: Any, names: tuple[str, ...]) -> Any:
    """A snapshot without these values of its rows."""
    rows = plain.get("queues", ())
    others = {name: value for name, value in plain.items() if name != "queues"}
    return others, [{name: row[name] for name in row if name not in names} for row in rows]
