"""Schemathesis reads the OpenAPI description and looks for crashes, and for responses that it doesn't document."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import uvicorn
from hypothesis.errors import InvalidArgument, Unsatisfiable

from kew import QueueConfig, TaskQueueManager
from kew.web import admin
from tests.unit.web.serving import AUTHORIZED, TOKEN

schemathesis = pytest.importorskip("schemathesis")

from schemathesis import GenerationMode  # noqa: E402 - if it is installed
from schemathesis.core.result import Ok  # noqa: E402
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402

EXAMPLES = int(os.environ.get("KEW_SCHEMA_EXAMPLES", "8"))


async def job(number: int = 0) -> None: ...


async def fails(number: int = 0) -> None:
    raise ValueError(number)


class Server:
    """The admin API on a port of its own, with a queue that has tasks of every kind."""

    def __init__(self) -> None:
        self._is_up = threading.Event()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.url = ""
        self.description: dict[str, Any] = {}

    async def _run(self) -> None:
        async with TaskQueueManager("memory://") as manager:
            await manager.create_queue(QueueConfig("mails"), work=False)
            await manager.create_queue(
                QueueConfig("crm", max_circuit_breaker_failures=None), functions=[fails]
            )
            await manager.task(queue="mails")(job).options(task_id="waiting").submit()
            failing = await manager.task(queue="crm")(fails).options(task_id="dead").submit()
            with pytest.raises(Exception, match="failed"):
                await failing.result()
            await manager.schedules.put("hourly", job, every=3600, queue="mails")
            app = admin(manager, token=TOKEN, allow_changes=True)
            self.description = app.openapi()
            await self._serve(app)

    async def _serve(self, app: Any) -> None:
        config = uvicorn.Config(app, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(server._serve([listener]))
        host, port = listener.getsockname()
        self.url, self._stop = f"http://{host}:{port}", asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._is_up.set()
        await self._stop.wait()
        server.should_exit = True
        await serving

    def __enter__(self) -> "Server":
        self._thread.start()
        assert self._is_up.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


SCHEMA = schemathesis.openapi.from_dict(admin("memory://", token=TOKEN).openapi())
OPERATIONS = {
    f"{operation.method.upper()} {operation.path}": operation
    for operation in (each.ok() for each in SCHEMA.get_all_operations() if isinstance(each, Ok))
}


EXISTING = {
    "queue": "mails",
    "task_id": "waiting",
    "name": "max_workers",
    "key": "acme",
    "schedule": "hourly",
}


NOT_IN_THE_SCHEMA = [positive_data_acceptance]  # such as: a note is printable


def here(operation: Any) -> dict[str, str] | None:
    """The path of what exists: other names are tried by negative cases."""
    names = [name for name in EXISTING if f"{{{name}}}" in operation.path]
    return {name: EXISTING[name] for name in names} or None


del OPERATIONS["GET /api/events"]  # a stream without end: test_feed.py


@pytest.mark.no_cover
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name", OPERATIONS)
def test_no_request_crashes_it_or_gets_an_undocumented_response(server, name, mode):
    try:
        operation = OPERATIONS[name]
        cases = operation.as_strategy(generation_mode=mode, path_parameters=here(operation))
    except InvalidArgument:
        return  # this operation takes nothing that could be wrong

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=cases)
    def check(case: Any) -> None:
        case.call_and_validate(
            base_url=server.url, headers=AUTHORIZED, excluded_checks=NOT_IN_THE_SCHEMA
        )

    with contextlib.suppress(Unsatisfiable):  # nothing can be wrong with this operation
        check()
