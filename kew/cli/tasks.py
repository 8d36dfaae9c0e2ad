"""`kew task`: one task, and what an operator does to it."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime

import click

from kew import Attempt, TaskInfo, TaskQueueError
from kew.cli.exits import Exit
from kew.cli.group import Group
from kew.cli.output import Cell, compact, one_line
from kew.cli.session import Session, json_option, on_store, yes_option
from kew.cli.settings import duration_of
from kew.cli.words import both, counted, relative, seconds
from kew.domain.task import TERMINAL

BETWEEN_LOOKS = 0.5  # seconds
PRIORITIES = {1: "high", 2: "medium", 3: "low"}


@click.group(cls=Group, parts={"submit": "kew.cli.submitting:submit"})
def task() -> None:
    """Look at tasks, submit, cancel and replay them."""


@task.command("show")
@click.argument("task_id", metavar="TASK")
@json_option
@on_store
async def show(session: Session, task_id: str) -> None:
    """Show a task: its state, times, result, and failed attempts."""
    info = await session.manager.get_task_status(task_id)
    if session.out.as_json:
        session.out.json(dict(info))
        return
    print_task(session, info)
    if info.status not in TERMINAL:
        explanation = await session.manager.explain(task_id)
        session.out.line()
        session.out.paragraph(str(explanation))


def print_task(session: Session, info: TaskInfo) -> None:
    """A task for people."""
    now = session.now()
    session.out.facts(facts(info, now))
    for attempt in info.attempts:
        session.out.line()
        print_attempt(session, attempt, now)


def facts(info: TaskInfo, now: datetime) -> dict[str, Cell | None]:
    """A task's status in words."""
    counts = [
        f"{info.attempt} begun",
        *([f"retried {counted(info.retry_count, 'time')}"] if info.retry_count else []),
        *([f"snoozed {counted(info.snooze_count, 'time')}"] if info.snooze_count else []),
    ]
    is_done = info.status in TERMINAL
    return {
        "task": info.task_id,
        "queue": info.queue_name,
        "type": info.task_type,
        "status": info.status.value,
        "priority": PRIORITIES.get(int(info.priority), str(info.priority)),
        "submitted": both(info.queued_time, now),
        "started": both(info.started_time, now) if info.started_time else None,
        "ended": both(info.completed_time, now) if info.completed_time else None,
        "due": both(info.due_time, now) if info.due_time and not is_done else None,
        "process": info.process,
        "attempts": ", ".join(counts),
        "error": info.error,
        "result": compact(info.result) if info.status == "completed" else None,
    }


def print_attempt(session: Session, attempt: Attempt, now: datetime) -> None:
    """A failed attempt, with its traceback."""
    where = f" in {attempt.process}" if attempt.process else ""
    session.out.line(
        f"attempt {attempt.number}: {attempt.how} {relative(attempt.failed_time, now)}, "
        f"after {seconds(attempt.seconds)}{where}"
    )
    if attempt.error_type:
        session.out.paragraph(f"{attempt.error_type}: {attempt.message or ''}", indent=2)
    for line in (attempt.traceback or "").rstrip("\n").split("\n") if attempt.traceback else []:
        session.out.line(f"  {line}", style="dim")


@task.command("why")
@click.argument("task_id", metavar="TASK")
@json_option
@on_store
async def why(session: Session, task_id: str) -> None:
    """Say why a task isn't running, and when it can."""
    await explain(session, task_id)


async def explain(session: Session, task_id: str) -> None:
    """Print the explanation."""
    explanation = await session.manager.explain(task_id)
    if session.out.as_json:
        session.out.json(explanation.to_dict())
        return
    session.out.paragraph(str(explanation))
    for holder in [each for reason in explanation.reasons for each in reason.holders]:
        since = f", {relative(holder.started, session.now())}" if holder.started else ""
        session.out.line(f"  a slot is held by task {holder.task_id} in {holder.process}{since}")


@task.command("cancel")
@click.argument("task_id", metavar="TASK")
@yes_option
@on_store
async def cancel(session: Session, task_id: str, yes: bool) -> None:
    """Cancel a task that waits or runs, in any process."""
    info = await session.manager.get_task_status(task_id)
    if info.status not in TERMINAL:
        session.confirm(f"Cancel task {task_id} ({info.status.value})?", yes=yes)
    if await session.manager.cancel_task(task_id):
        text = "was asked to stop" if info.status == "processing" else "is cancelled"
        session.out.line(f"task {task_id} {text}.")
    else:
        session.refuse(f"task {task_id} had already ended: it {info.status.value}")


@task.command("replay")
@click.argument("task_id", metavar="TASK")
@on_store
async def replay(session: Session, task_id: str) -> None:
    """Let a failed or cancelled task run again."""
    if await session.manager.replay_task(task_id):
        session.out.line(f"task {task_id} waits again.")
    else:
        session.refuse(f"task {task_id} has completed, so it isn't replayed")


@task.command("watch")
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
    shown = None
    try:
        while True:
            info = await session.manager.get_task_status(task_id)
            step = (info.status, info.attempt, info.retry_count, info.snooze_count)
            if step != shown and not session.out.as_json:
                session.out.line(await change_text(session, info))
            shown = step
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
