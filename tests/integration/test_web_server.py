"""`kew web` as it is used: a process of its own, a real Redis, a browser that follows, and a signal that ends it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import attrs
import httpx
import pytest

from kew import QueueConfig, TaskQueueManager

TOKEN = "the-token-of-this-test-alone"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@attrs.define
class Web:
    """A running `kew web`, and what it has printed."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def web_of(url: str, *options: str, token: str | None = TOKEN) -> Iterator[Web]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "KEW_WEB_TOKEN"}
    with subprocess.Popen(
        [sys.executable, "-m", "kew", "web", "--port", str(port), *options],
        env={**environment, "KEW_URL": url, **({"KEW_WEB_TOKEN": token} if token else {})},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        is_up, lines = threading.Event(), list[str]()

        def read() -> None:
            assert process.stderr is not None
            for line in process.stderr:
                lines.append(line)
                if "running on" in line:
                    is_up.set()
            is_up.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert is_up.wait(60)
        try:
            yield Web(process, f"http://127.0.0.1:{port}", lines)
        finally:
            process.kill()
            reader.join()


@pytest.fixture
async def queue_url(clean_redis_url: str) -> str:
    async with TaskQueueManager(clean_redis_url) as manager:
        await manager.create_queue(QueueConfig("mails"), work=False)
    return clean_redis_url


async def test_it_serves_pages_and_changes_and_ends_though_a_browser_follows(queue_url):
    with web_of(queue_url, "--allow-changes") as web:
        async with httpx.AsyncClient(base_url=web.url, headers=AUTHORIZED) as client:
            page = await client.get("/")
            assert page.status_code == 200
            assert "text/html" in page.headers["content-type"]
            assert page.headers["server"] != "uvicorn" if "server" in page.headers else True
            async with client.stream("GET", "/api/events") as events:
                lines = events.aiter_lines()
                assert await anext(lines) == "event: queues"
                assert '"paused":false' in await anext(lines)
                paused = await client.post("/api/queues/mails/pause", json={"note": "ada"})
                assert paused.status_code == 200
                while '"paused":true' not in await anext(lines):
                    pass
                assert web.stop() == 0
        assert any("admin: token (127.0.0.1): POST" in line for line in web.lines)
        assert TOKEN not in "".join(web.lines)


def test_without_a_token_it_answers_this_machine_alone(queue_url):
    with web_of(queue_url, token=None) as web:
        assert httpx.get(f"{web.url}/api/queues").status_code == 200
        elsewhere: dict[str, Any] = {"headers": {"Host": "evil.example"}}
        assert httpx.get(f"{web.url}/api/queues", **elsewhere).status_code == 403
        assert httpx.post(f"{web.url}/api/queues/mails/pause").status_code == 403


def test_a_chunked_body_without_end_is_refused_and_the_connection_closed(queue_url):
    def chunks() -> Iterator[bytes]:
        for _ in range(100_000):
            yield b" " * 1024

    with web_of(queue_url, "--allow-changes") as web, httpx.Client(headers=AUTHORIZED) as client:
        headers = {"Content-Type": "application/json"}
        url = f"{web.url}/api/queues/mails/pause"
        try:
            response = client.post(url, content=chunks(), headers=headers)
            assert response.status_code == 413
        except httpx.WriteError:
            pass  # it closed the connection before the client had read the answer
        status = client.get(f"{web.url}/api/queues/mails").json()
        assert status["paused"] is False
