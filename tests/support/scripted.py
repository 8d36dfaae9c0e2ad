"""A server that answers what a test tells it to, in the language of Redis or not."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import attrs
import hiredis

from kew.adapters.redis.address import Address, address

LOOPBACK = "127.0.0.1"
NONE = object()
Answer = Callable[[list[bytes], asyncio.StreamWriter], Awaitable[None]]


@attrs.define(eq=False)
class Scripted:
    """A server on the loopback interface. What kew asks goes to `answer`; the start of a connection is answered as a
    primary does, with `info` for INFO.

    Where it `is_full` it takes no more connections, as Redis does at its `maxclients`.
    """

    answer: Answer
    connections: int = 0
    writers: list[asyncio.StreamWriter] = attrs.field(factory=list)
    asked: list[list[bytes]] = attrs.field(factory=list)
    port: int = 0
    is_full: bool = False
    info: bytes = b"role:master\r\nrun_id:1\r\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_full:
            await asyncio.sleep(0.02)
            writer.close()
            return
        self.connections += 1
        self.writers.append(writer)
        requests = hiredis.Reader(notEnoughData=NONE)
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                requests.feed(chunk)
                while (command := requests.gets()) is not NONE:
                    if command[0] == b"CLIENT":
                        writer.write(b"+OK\r\n")
                    elif command[0] == b"INFO":
                        writer.write(self.info if self.info[:1] == b"-" else bulk(self.info))
                    else:
                        self.asked.append(command)
                        await self.answer(command, writer)

    def address(self, timeout: float = 5.0) -> Address:
        return address(f"redis://{LOOPBACK}:{self.port}", timeout=timeout)


@contextlib.asynccontextmanager
async def serving(answer: Answer, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    scripted = Scripted(answer)
    server = await asyncio.start_server(scripted.serve, LOOPBACK, 0, ssl=tls)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()
        for writer in scripted.writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def bulk(text: bytes) -> bytes:
    """A reply of this text."""
    return b"$%d\r\n%s\r\n" % (len(text), text)


async def echo(command: list[bytes], writer: asyncio.StreamWriter) -> None:
    """ECHO's reply."""
    writer.write(bulk(command[1]))


async def silence(command: list[bytes], writer: asyncio.StreamWriter) -> None:
    """No reply."""


def saying(text: bytes) -> Answer:
    async def answer(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        writer.write(text)

    return answer
