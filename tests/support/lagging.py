"""A replica whose link to its primary a test can hold up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.support.asking import once
from tests.support.redis_process import LOOPBACK, ProcessRedis, connect


class Link:
    """Passes bytes on between a replica and its primary, except while it is held."""

    def __init__(self, primary: ProcessRedis) -> None:
        self._primary = primary
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def hold(self) -> None:
        """What the primary sends from now on doesn't arrive until `let_go`."""
        self._open.clear()

    def let_go(self) -> None:
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            upstream = await asyncio.open_connection(LOOPBACK, self._primary.port)
            try:
                async with asyncio.TaskGroup() as ways:
                    ways.create_task(self._pass_on(reader, upstream[1]))
                    ways.create_task(self._pass_on(upstream[0], writer))
            finally:
                upstream[1].transport.abort()
        writer.transport.abort()
        self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            await self._open.wait()
            writer.write(chunk)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)


@contextlib.asynccontextmanager
async def lagging_replica(
    binary: Path, **options: str | int
) -> AsyncIterator[tuple[ProcessRedis, ProcessRedis, Link]]:
    """A primary, its replica, and the link between them."""
    both: dict[str, str | int] = {"repl_diskless_sync_delay": 0, **options}
    primary = ProcessRedis(binary=binary, options=both).start()
    link = Link(primary)
    server = await asyncio.start_server(link.serve, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    replica = ProcessRedis(binary=binary, options={**both, "replicaof": f"{LOOPBACK} {port}"})
    try:
        await asyncio.to_thread(replica.start)
        with contextlib.closing(connect(primary.url)) as client:

            async def confirming() -> Any:
                client.publish("any", "")
                return await asyncio.to_thread(client.wait, 1, 100)

            await once(confirming, lambda replicas: replicas == 1)
        yield primary, replica, link
    finally:
        server.close()
        await link.end()
        replica.stop()
        primary.stop()
