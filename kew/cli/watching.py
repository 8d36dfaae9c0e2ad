"""`kew task watch`: what happens to a task, until it ends."""

from __future__ import annotations

import asyncio
import contextlib

import click

from kew import TaskInfo, TaskQueueError
from kew.cli.exits import Exit
from kew.cli.output import one_line
from kew.cli.session import Session, json_option, on_store
from kew.cli.settings import duration_of
from kew.cli.tasks import print_task
from kew.domain.task import TERMINAL

BETWEEN_LOOKS = 0.5  # seconds


@click.command()
@click.argument("task_id", metavar="TASK")
@click.option("--timeout", metavar="DURATION", help="Give up after this time, with exit code 1.")
@json_option
@on_store
async def watch(session: Session, task_id: str, timeout: str | None) -> None:
    """Print what happens to a task until it ends. Exits with 1 unless it completes."""
    try:
        async with asyncio.timeout(duration_of(timeout) if timeout else None):
            info = await follow(session, task_id)
    except TimeoutError:
        session.refuse(f"task {task_id} didn't end within {timeout}")
    if session.out.as_json:
        session.out.json(dict(info))
    else:
        session.out.line()
        print_task(session, info)
    if info.status != "completed":
        raise SystemExit(Exit.FAILED)


async def follow(session: Session, task_id: str) -> TaskInfo:
    """The task once it has ended; each change is a line."""
    ended = asyncio.create_task(until_ended(session, task_id))
    shown, reported = None, None
    try:
        while True:
            info = await session.manager.get_task_status(task_id)
            step = (info.status, info.attempt, info.retry_count, info.snooze_count)
            if not session.out.as_json:
                if step != shown:
                    session.out.line(await change_text(session, info))
                if info.progress and info.progress != reported:
                    session.out.line(one_line(f"{session.now():%H:%M:%S}  {info.progress}"))
            shown, reported = step, info.progress
            if info.status in TERMINAL:
                return info
            await asyncio.wait([ended], timeout=BETWEEN_LOOKS)
    finally:
        ended.cancel()


async def until_ended(session: Session, task_id: str) -> None:
    """Wait for a notification of the task's end."""
    with contextlib.suppress(TaskQueueError):
        await session.manager.handle(task_id).result()


async def change_text(session: Session, info: TaskInfo) -> str:
    """ "10:31:02  processing: attempt 2 in web-1:4711"."""
    text = info.status.value
    if info.status == "processing":
        text += f": attempt {info.attempt} in {info.process or 'an unknown process'}"
    elif info.status not in TERMINAL:
        text += f": {await session.manager.explain(info.task_id)}"
    elif info.error:
        text += f": {info.error}"
    return f"{session.now():%H:%M:%S}  {one_line(text)}"
