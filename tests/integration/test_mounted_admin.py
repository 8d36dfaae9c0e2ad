"""The admin app mounted into a host's application under uvicorn: an open stream must not keep the host from ending."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator

import httpx
import pytest

TOKEN = "the-token-of-this-test-alone"
HOST = """
from contextlib import asynccontextmanager

import uvicorn
from {framework} import {kind}

from kew import QueueConfig, TaskQueueManager
from kew.web import admin

manager = TaskQueueManager("memory://")


@asynccontextmanager
async def lifespan(app):
    async with manager:
        await manager.create_queue(QueueConfig("mails"), work=False)
        yield
    print("ended", flush=True)


app = {kind}(lifespan=lifespan)
app.mount("/admin", admin(manager, token="{token}"))


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)


Server(uvicorn.Config(app, port=0, log_level="warning")).run()
"""


@contextlib.asynccontextmanager
async def host(framework: str, kind: str) -> AsyncIterator[asyncio.subprocess.Process]:
    program = HOST.format(framework=framework, kind=kind, token=TOKEN)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize(
    ("framework", "kind"), [("fastapi", "FastAPI"), ("starlette.applications", "Starlette")]
)
async def test_an_open_stream_ends_when_its_host_does(framework: str, kind: str):
    async with host(framework, kind) as process, asyncio.timeout(60):
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(await process.stdout.readline())}"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            httpx.AsyncClient(base_url=url, headers=headers) as client,
            client.stream("GET", "/admin/api/events") as events,
        ):
            lines = events.aiter_lines()
            assert await anext(lines) == "event: queues"
            process.send_signal(signal.SIGTERM)
            async for _ in lines:  # without an error: the stream ends as a whole
                pass
        assert await process.stdout.read() == b"ended\n"
