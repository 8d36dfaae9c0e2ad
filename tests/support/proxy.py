"""A TCP proxy between redis-py and Redis that loses, delays, cuts and repeats what passes, by a plan.

Commands of one connection are answered in order, one at a time, so a reply belongs to the command before it. A
connection that subscribes is passed through, and may be cut as well. A new `target` is for new connections alone.
"""

import asyncio
import contextlib
import enum
from collections import Counter
from collections.abc import Callable, Coroutine
from urllib.parse import urlsplit, urlunsplit

import attrs
import hiredis

from kew.adapters.redis.library import Library
from tests.support.redis_process import LOOPBACK

LATE_SECONDS = 0.15
NO_DATA = object()


class Fault(enum.Enum):
    """What happens to one command."""

    LOSE_REQUEST = "the connection breaks before Redis sees it"
    LOSE_REPLY = "Redis executes it, and the connection breaks before its reply"
    CUT_REPLY = "half of its reply arrives, then the connection breaks"
    LATE_REQUEST = "the connection breaks, and Redis executes it a while later"
    LATE_REPLY = "its reply takes a while"
    REPEAT = "Redis executes it twice, and one of the replies arrives"


Plan = Callable[[str], Fault | None]


def operation_names() -> dict[bytes, str]:
    """The operations of Redis' functions."""
    return {one.function.encode(): one.name.removesuffix("_alone") for one in Library()}


@attrs.define(eq=False)
class Proxy:
    """Listens on a free port of the loopback interface while it is open.

    `plan` is asked once per command, with the name of kew's operation or of the plain command. `fired` counts what
    really happened, by (fault, operation).
    """

    target: str
    plan: Plan
    fired: Counter[tuple[Fault, str]] = attrs.field(factory=Counter)
    _names: dict[bytes, str] = attrs.field(factory=operation_names)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set)
    _writers: set[asyncio.StreamWriter] = attrs.field(factory=set)
    _silent: set[asyncio.StreamWriter] = attrs.field(factory=set)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._writers)

    def silence(self) -> None:
        """Let nothing through any more on the connections that are open now; nothing is closed."""
        self._silent |= self._writers

    @property
    def url(self) -> str:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return urlunsplit(urlsplit(self.target)._replace(netloc=f"{LOOPBACK}:{port}"))

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection now."""
        for writer in list(self._writers):
            writer.transport.abort()

    def counted(self, fault: Fault) -> int:
        """How often it happened, to whatever operation."""
        return sum(count for (each, _), count in self.fired.items() if each is fault)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._pass_on(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # an end of the connection, which is all that a proxy hears of
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._silent.discard(writer)
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await Upstream.connect(self.target)
        requests = hiredis.Reader(notEnoughData=NO_DATA)
        try:
            while chunk := await reader.read(65536):
                requests.feed(chunk)
                while (command := requests.gets()) is not NO_DATA:
                    if command[0].upper() == b"SUBSCRIBE":
                        await upstream.send(command)
                        await self._stream(upstream, reader, writer)
                        return
                    if writer in self._silent:
                        continue
                    if not await self._exchange(command, upstream, writer):
                        return
        finally:
            upstream.close()

    async def _exchange(
        self, command: list[bytes], upstream: "Upstream", writer: asyncio.StreamWriter
    ) -> bool:
        """False: the connection is to break."""
        name = self._name(command)
        fault = self.plan(name)
        if fault is not None:
            self.fired[fault, name] += 1
        if fault is Fault.LOSE_REQUEST:
            return False
        if fault is Fault.LATE_REQUEST:
            self._own(self._execute_late(command))
            return False
        reply = await upstream.ask(command)
        if fault is Fault.REPEAT:
            reply = await upstream.ask(command)
        if fault is Fault.LATE_REPLY:
            await asyncio.sleep(LATE_SECONDS)  # the fault itself
        if fault is Fault.CUT_REPLY:
            writer.write(reply[: max(1, len(reply) // 2)])
            await writer.drain()
            writer.close()  # what was written still arrives
            return False
        if fault is Fault.LOSE_REPLY:
            return False
        if writer not in self._silent:
            writer.write(reply)
            await writer.drain()
        return True

    async def _execute_late(self, command: list[bytes]) -> None:
        await asyncio.sleep(LATE_SECONDS)  # the fault itself
        with contextlib.suppress(OSError, EOFError):
            upstream = await Upstream.connect(self.target)
            try:
                await upstream.ask(command)
            finally:
                upstream.close()

    async def _stream(
        self, upstream: "Upstream", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """What the subscriber asks and what it is sent, until either side ends."""
        ways = [
            asyncio.create_task(self._pipe(upstream.reader, writer, writer)),
            asyncio.create_task(self._pipe(reader, upstream.writer, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pipe(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, who: asyncio.StreamWriter
    ) -> None:
        while chunk := await source.read(65536):
            if who not in self._silent:
                sink.write(chunk)
                await sink.drain()

    def _name(self, command: list[bytes]) -> str:
        if command[0].upper() == b"FCALL":
            return self._names[command[1]]
        return command[0].decode().lower()

    def _own(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@attrs.define(eq=False)
class Upstream:
    """A connection to the real Redis."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def connect(cls, url: str) -> "Upstream":
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def send(self, command: list[bytes]) -> None:
        self.writer.write(hiredis.pack_command(tuple(command)))  # type: ignore[arg-type]  # its stub means a 1-tuple
        await self.writer.drain()

    async def ask(self, command: list[bytes]) -> bytes:
        """The reply as it came over the wire."""
        await self.send(command)
        parser, raw = hiredis.Reader(notEnoughData=NO_DATA), b""
        while True:
            chunk = await self.reader.read(65536)
            if not chunk:
                raise EOFError
            raw += chunk
            parser.feed(chunk)
            if parser.gets() is not NO_DATA:
                return raw

    def close(self) -> None:
        self.writer.transport.abort()
