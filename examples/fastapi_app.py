"""A sign-up service that sends its mails in the background: kew inside FastAPI.

    pip install . fastapi uvicorn        # in a clone: this version of kew is not released yet
    uvicorn examples.fastapi_app:app
    curl -X POST 'localhost:8000/signup?email=ada@example.org'

To see what happens while the mail server is down, start it with MAIL_OUTAGE=/tmp/outage, and create that file.

The queue is in memory unless KEW_URL is the URL of a Redis. In Redis, mails survive this process, and any number of
processes share the queue. kew installs no signal handlers: on Ctrl-C, uvicorn ends the lifespan below, which waits for
running tasks and then releases the rest.
"""

import asyncio
import hashlib
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from kew import (
    QueueConfig,
    QueueFullError,
    QueueProcessorError,
    TaskAlreadyExistsError,
    TaskInfo,
    TaskNotFoundError,
    TaskQueueManager,
)

KEW_URL = os.environ.get("KEW_URL", "memory://")
MAIL_SECONDS = float(os.environ.get("MAIL_SECONDS", "1"))
MAIL_OUTAGE = os.environ.get("MAIL_OUTAGE", "")
RETRY_SECONDS = float(os.environ.get("RETRY_SECONDS", "5"))
MAX_WAITING = int(os.environ.get("MAX_WAITING", "1000"))
GRACE_SECONDS = float(os.environ.get("GRACE_SECONDS", "5"))

manager = TaskQueueManager(KEW_URL, namespace="signup", patience=2)
EMAILS = QueueConfig(
    "emails",
    max_workers=2,
    max_size=MAX_WAITING,
    max_retries=3,
    retry_delay=RETRY_SECONDS,
    max_circuit_breaker_failures=10,  # one bad address fails four times
    lease=5,
)


@manager.task(queue="emails")
async def send_welcome_email(email: str) -> str:
    """A fake, slow mail server."""
    await asyncio.sleep(MAIL_SECONDS)
    if MAIL_OUTAGE and os.path.exists(MAIL_OUTAGE):  # noqa: ASYNC240, PTH110 - a stand-in for a server
        raise ConnectionError("the mail server refuses connections")
    print(f"mailed {email}", flush=True)
    return f"welcome, {email}"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run the queue while the application serves requests."""
    await manager.initialize()
    try:
        await manager.create_queue(EMAILS)
        yield
    finally:
        await manager.shutdown(timeout=GRACE_SECONDS)


app = FastAPI(title="Sign-up", lifespan=lifespan)


@app.post("/signup", status_code=202)
async def signup(email: str) -> dict[str, str]:
    """Answer at once and send the mail later. The task's id is derived from the address, so it is sent once.

    If sending it has failed for good, signing up again sends it again.
    """
    user_id = hashlib.sha256(email.encode()).hexdigest()[:12]
    task_id = f"welcome-{user_id}"
    try:
        await send_welcome_email.options(task_id=task_id).submit(email)
    except TaskAlreadyExistsError as error:  # this address has signed up before
        if (await error.handle.status()).status == "failed":
            await manager.replay_task(task_id)
    return {"user_id": user_id, "task_id": task_id}


@app.get("/tasks/{task_id}")
async def task(task_id: str) -> TaskInfo:
    """The status of a task, whichever process runs it."""
    try:
        return await manager.get_task_status(task_id)
    except TaskNotFoundError:
        raise HTTPException(404, "no such task") from None


@app.get("/health")
async def health() -> dict[str, Any]:
    """The current status of the queue."""
    return await manager.get_queue_status("emails")


# Backpressure: turn a refused submit into an answer that clients and proxies understand.


@app.exception_handler(QueueFullError)
async def too_many(request: Request, error: QueueFullError) -> JSONResponse:
    """The queue is full and nothing was stored: the client may try again."""
    seconds = 5 if error.retry_after is None else math.ceil(error.retry_after)
    return JSONResponse(
        {"detail": "too many sign-ups at the moment"}, 429, {"Retry-After": str(seconds)}
    )


@app.exception_handler(QueueProcessorError)
async def unavailable(request: Request, error: QueueProcessorError) -> JSONResponse:
    """The store doesn't answer. It is safe to try again: the same id never makes two tasks."""
    return JSONResponse({"detail": "temporarily unavailable"}, 503, {"Retry-After": "2"})
