"""The example application in a process of its own, whose mail server a file breaks."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
READY = re.compile(r"running on (http://127\.0\.0\.1:\d+)")
SECONDS = 40.0


@asynccontextmanager
async def example_application(redis_url: str, outage: Path) -> AsyncIterator[str]:
    """Its address. While the file `outage` exists, its mail server refuses connections."""
    environment = {"KEW_URL": redis_url, "MAIL_OUTAGE": str(outage), "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "examples.fastapi_app:app", "--port", "0"),
        cwd=ROOT,
        env={**os.environ, **environment, "MAIL_SECONDS": "0.01", "RETRY_SECONDS": "0.05"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    found = None
    async with asyncio.timeout(SECONDS):
        while not found:
            line = await process.stdout.readline()
            assert line, "the application has ended"
            found = READY.search(line.decode())
    draining = asyncio.create_task(process.stdout.read())
    try:
        yield found[1]
    finally:
        process.terminate()
        await process.wait()
        await draining


async def sign_up(url: str, email: str) -> str:
    """Sign somebody up; the id of the task that sends the mail."""
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{url}/signup", params={"email": email})
    return str(answer.raise_for_status().json()["task_id"])
