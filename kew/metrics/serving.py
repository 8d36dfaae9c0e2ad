"""A small HTTP server for Prometheus: `GET /metrics`, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from kew.metrics.exporting import CONTENT_TYPE

MOST_HEAD: Final = 16 * 1024  # bytes of a request
SECONDS: Final = 10.0  # for a request to arrive, and for its answer to leave
INDEX: Final = b"kew: metrics for Prometheus are at /metrics\n"
TEXT: Final = "text/plain; charset=utf-8"

Answer = tuple[str, str, bytes]


async def serve(read: Callable[[], Awaitable[bytes]], host: str, port: int) -> asyncio.Server:
    """Answer each scrape with what `read` gives. Raises `OSError` if the address is in use; `port` 0: any free one."""
    scrape = (
        asyncio.Lock()
    )  # one at a time: several scrapers must not ask the store for more at once

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                status, kind, body = await _answered(head, read, scrape)
                writer.write(_response(status, kind, body, is_head=head.startswith(b"HEAD ")))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the scraper is gone, or is none
        finally:
            writer.close()

    return await asyncio.start_server(answer, host, port, limit=MOST_HEAD)


async def _answered(
    head: bytes, read: Callable[[], Awaitable[bytes]], scrape: asyncio.Lock
) -> Answer:
    method, _, rest = head.split(b"\r\n", 1)[0].partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method not in (b"GET", b"HEAD"):
        return "405 Method Not Allowed", TEXT, b"only GET and HEAD\n"
    if path == b"/":
        return "200 OK", TEXT, INDEX
    if path != b"/metrics":
        return "404 Not Found", TEXT, INDEX
    async with scrape:
        return "200 OK", CONTENT_TYPE, await read()


def _response(status: str, kind: str, body: bytes, *, is_head: bool) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if is_head else body)
