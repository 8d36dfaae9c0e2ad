"""`kew task`: one task, and what an operator does to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from kew import Attempt, TaskInfo
from kew.app.listing import STATES
from kew.app.pages import MOST_IN_A_PAGE
from kew.cli.group import Group
from kew.cli.mending import mending
from kew.cli.output import Cell, Column, compact
from kew.cli.session import Session, complete_queue, json_option, on_store, yes_option
from kew.cli.settings import PRIORITIES, instant_of
from kew.cli.words import both, counted, relative, seconds, volume
from kew.domain.task import TERMINAL

LIST = (
    Column("TASK", gives_way=True),
    Column("QUEUE", gives_way=True),
    Column("TYPE", gives_way=True),
    Column("STATUS"),
    Column("SINCE OR DUE", is_right=True),
    Column("PROCESS OR ERROR", gives_way=True),
)


@click.group(
    cls=Group, parts={"submit": "kew.cli.submitting:submit", "watch": "kew.cli.watching:watch"}
)
def task() -> None:
    """Look at tasks, submit, cancel and replay them."""


@task.command("ls")
@click.argument("queue", required=False, shell_complete=complete_queue)
@click.option("--state", metavar="STATE", help=f"Only those in this state: {', '.join(STATES)}.")
@click.option("--function", metavar="NAME", help="Only those of a function (module:name).")
@click.option("--key", metavar="KEY", help="Only those of a key.")
@click.option("--type", "task_type", metavar="TYPE", help="Only those of a task type.")
@click.option(
    "--since", metavar="TIME", help="Only those submitted from then on: 2026-11-30T08:00."
)
@click.option("--until", metavar="TIME", help="Only those submitted before then.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="How many.")
@json_option
@on_store
async def ls(
    session: Session,
    /,
    queue: str | None,
    limit: int,
    since: str | None,
    until: str | None,
    **more: str | None,
) -> None:
    """List a queue's tasks: those that wait, run, or failed for good. Without QUEUE: all that run.

    Times without an offset are in UTC.
    """
    wanted: dict[str, Any] = {
        **more,
        "submitted_since": instant_of(since) if since else None,
        "submitted_until": instant_of(until) if until else None,
    }
    if queue is not None:
        tasks, is_all = await found(session, queue, wanted, limit)
    elif any(wanted.values()):
        options = ", ".join(
            f"--{name.replace('_', '-')}" for name, value in wanted.items() if value
        )
        raise click.UsageError(
            f"{options} needs a QUEUE; without one, only running tasks are listed"
        )
    else:
        running = await session.manager.get_ongoing_tasks()
        tasks, is_all = running[:limit], len(running) <= limit
    if session.out.as_json:
        session.out.json_lines(dict(info) for info in tasks)
        return
    if not tasks:
        session.out.line("There are no such tasks.")
        return
    session.out.table(LIST, [row(info, session.now()) for info in tasks])
    if not is_all:
        session.out.line(f"There are more: --limit {limit * 5}.")


async def found(
    session: Session, queue: str, wanted: dict[str, Any], limit: int
) -> tuple[list[TaskInfo], bool]:
    """At most `limit` tasks of a queue, and whether that is all."""
    handle, tasks, cursor = session.manager.queue(queue), list[TaskInfo](), None
    while len(tasks) < limit:
        size = min(MOST_IN_A_PAGE, limit - len(tasks))
        page = await handle.tasks(**wanted, limit=size, cursor=cursor)
        tasks, cursor = [*tasks, *page.tasks], page.cursor
        if cursor is None:
            break
    return tasks, cursor is None


def row(info: TaskInfo, now: datetime) -> list[Cell]:
    """A task's line in a list."""
    is_running = info.status == "processing"
    times = {"processing": info.started_time, "failed": info.completed_time}
    at = times.get(info.status.value, info.due_time or info.queued_time)
    where = (info.process or "") if is_running else (info.error or "")
    return [
        info.task_id,
        info.queue_name,
        info.task_type,
        info.status.value,
        relative(at, now),
        where,
    ]


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
        session.out.line()
        await explain(session, task_id)


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
        "progress": progress_text(info, now),
        "checkpoint": checkpoint_text(info),
        "attempts": ", ".join(counts),
        "error": info.error,
        "result": compact(info.result) if info.status == "completed" else None,
    }


def progress_text(info: TaskInfo, now: datetime) -> str | None:
    """ "40 %: page 12 of 30 (3 s ago)"."""
    progress = info.progress
    return None if progress is None else f"{progress} ({relative(progress.time, now)})"


def checkpoint_text(info: TaskInfo) -> str | None:
    """ "1.2 KiB, saved by attempt 2"."""
    saved = info.checkpoint
    return None if saved is None else f"{volume(saved.size)}, saved by attempt {saved.attempt}"


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
    if explanation.status == "processing":
        await print_place(session, task_id)
        return
    for holder in [each for reason in explanation.reasons for each in reason.holders]:
        since = f", started {relative(holder.started, session.now())}" if holder.started else ""
        session.out.line(f"  a slot is held by task {holder.task_id} in {holder.process}{since}")
    info = await session.manager.get_task_status(task_id, result=False)
    for command in mending(explanation, info):
        session.out.line(f"to fix it: {command}")


async def print_place(session: Session, task_id: str) -> None:
    """Where in the code a running task is, as its process has reported."""
    for process in await session.manager.processes():
        for long in process.long_tasks:
            if long.task_id == task_id and long.where:
                when = relative(process.heartbeat_time, session.now())
                session.out.line(f"{when}, it was at {long.where}")


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


@task.command("run")
@click.argument("task_id", metavar="TASK")
@on_store
async def run(session: Session, task_id: str) -> None:
    """Let a task that waits for its due time or its next attempt be due now."""
    info = await session.manager.get_task_status(task_id)
    if not await session.manager.run_task_now(task_id):
        session.refuse(f"task {task_id} had already ended: it {info.status.value}")
    text = "runs already" if info.status == "processing" else "is due now"
    session.out.line(f"task {task_id} {text}.")


@task.command("replay")
@click.argument("task_id", metavar="TASK")
@on_store
async def replay(session: Session, task_id: str) -> None:
    """Let a failed or cancelled task run again."""
    before = await session.manager.get_task_status(task_id, result=False)
    if await session.manager.replay_task(task_id):
        text = "waits again" if before.status in TERMINAL else f"is {before.status.value} already"
        session.out.line(f"task {task_id} {text}.")
    else:
        session.refuse(f"task {task_id} has completed, so it isn't replayed")
