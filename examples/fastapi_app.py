"""Sign people up now, write to them in the background: kew inside FastAPI.

    pip install . fastapi uvicorn        # in a clone: this version of kew is not released yet
    uvicorn examples.fastapi_app:app
    curl -X POST 'localhost:8000/signup?email=ada@example.org'

The queue is in memory until KEW_URL names a Redis; then mails survive this process, and any number of processes share
them. kew installs no signal handlers: on Ctrl-C uvicorn ends the lifespan below, which finishes what runs or hands it
back.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from kew import (
    QueueConfig,
    QueueFullError,
    QueueProcessorError,
    TaskAlreadyExistsError,
    TaskNotFoundError,
    TaskQueueManager,
)

KEW_URL = os.environ.get("KEW_URL", "memory://")
MAIL_SECONDS = float(os.environ.get("MAIL_SECONDS", "1"))
MAX_WAITING = int(os.environ.get("MAX_WAITING", "1000"))
GRACE_SECONDS = float(os.environ.get("GRACE_SECONDS", "5"))

manager = TaskQueueManager(KEW_URL, namespace="signup", patience=2)
EMAILS = QueueConfig(
    "emails", max_workers=2, max_size=MAX_WAITING, max_retries=3, retry_delay=5, lease=5
)


@manager.task(queue="emails")
async def send_welcome_email(email: str) -> str:
    """Stands for a slow mail server."""
    await asyncio.sleep(MAIL_SECONDS)
    print(f"mailed {email}", flush=True)
    return f"welcome, {email}"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The queue lives as long as the application serves."""
    await manager.initialize()
    try:
        await manager.create_queue(EMAILS)
        yield
    finally:
        await manager.shutdown(timeout=GRACE_SECONDS)


app = FastAPI(title="Sign-up", lifespan=lifespan)


@app.post("/signup", status_code=202)
async def signup(email: str) -> dict[str, str]:
    """Answer at once; the mail follows. Asked twice, it is sent once: the task's id says whom it is for."""
    user_id = hashlib.sha256(email.encode()).hexdigest()[:12]
    task_id = f"welcome-{user_id}"
    with suppress(TaskAlreadyExistsError):  # this person has signed up before
        await send_welcome_email.options(task_id=task_id).submit(email)
    return {"user_id": user_id, "task_id": task_id}


@app.get("/tasks/{task_id}")
async def task(task_id: str) -> dict[str, Any]:
    """How far a task has come, whichever process runs it."""
    try:
        return (await manager.get_task_status(task_id)).to_dict()
    except TaskNotFoundError:
        raise HTTPException(404, "no such task") from None


@app.get("/health")
async def health() -> dict[str, Any]:
    """The queue at this moment."""
    return await manager.get_queue_status("emails")


# Backpressure: what kew refuses becomes an answer that clients and proxies understand.


@app.exception_handler(QueueFullError)
async def too_many(request: Request, error: QueueFullError) -> JSONResponse:
    """The queue is full: nothing was stored, come again."""
    return JSONResponse({"detail": "too many sign-ups just now"}, 429, {"Retry-After": "5"})


@app.exception_handler(QueueProcessorError)
async def unavailable(request: Request, error: QueueProcessorError) -> JSONResponse:
    """The store doesn't answer. Asking again is safe: one id, one task."""
    return JSONResponse({"detail": "not available just now"}, 503, {"Retry-After": "2"})
