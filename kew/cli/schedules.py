"""`kew schedule`: what runs again and again, and when it is due next."""

from __future__ import annotations

from datetime import datetime

import click

from kew import ScheduleInfo
from kew.cli.group import Group
from kew.cli.notes import signed
from kew.cli.output import Cell, Column
from kew.cli.session import Session, dry_run_option, json_option, on_store, yes_option
from kew.cli.settings import instant_of
from kew.cli.words import both, counted, relative, seconds

LIST = (
    Column("SCHEDULE", gives_way=True),
    Column("QUEUE", gives_way=True),
    Column("WHEN", gives_way=True),
    Column("NEXT", is_right=True),
    Column("LAST", is_right=True),
    Column("STATE", gives_way=True),
)
MOST = 1000  # ticks that one command shows
SAMPLE = 10


@click.group(cls=Group)
def schedule() -> None:
    """Look at schedules, pause, run and remove them."""


@schedule.command("ls")
@click.argument("queue", required=False)
@json_option
@on_store
async def ls(session: Session, queue: str | None) -> None:
    """List the schedules of all queues, or of one."""
    found = await session.manager.schedules.list(queue)
    if session.out.as_json:
        session.out.json_lines(info.to_dict() for info in found)
    elif found:
        session.out.table(LIST, [row(info, session.now()) for info in found])
    else:
        session.out.line("There are no schedules.")


def row(info: ScheduleInfo, now: datetime) -> list[Cell]:
    """A schedule's line in a list."""
    return [
        info.name,
        info.queue,
        times_of(info),
        relative(info.next_time, now),
        relative(info.last_time, now),
        state_of(info),
    ]


def times_of(info: ScheduleInfo) -> str:
    """ "0 9 * * mon-fri (Europe/Berlin)", "every 5 min"."""
    if info.every is not None:
        return f"every {seconds(info.every)}"
    return f"{info.cron} ({info.tz})"


def state_of(info: ScheduleInfo) -> str:
    """ "active", "paused", "overdue", "undeclared"; with the note of a pause."""
    if info.paused:
        return f"paused: {info.note}" if info.note else "paused"
    if info.overdue:
        return "overdue"
    if info.undeclared:
        return "undeclared"
    return "active" if info.next_time else "over"


@schedule.command("show")
@click.argument("name")
@json_option
@on_store
async def show(session: Session, name: str) -> None:
    """Show a schedule: what it calls, when, and the last tick."""
    info = await session.manager.schedules.get(name)
    if session.out.as_json:
        session.out.json(info.to_dict())
        return
    now = session.now()
    session.out.facts(
        {
            "schedule": info.name,
            "state": state_of(info),
            "queue": info.queue,
            "function": info.function,
            "when": times_of(info),
            "in words": info.words if info.cron else None,
            "next": both(info.next_time, now),
            "last": both(info.last_time, now),
            "last task": info.last_task_id,
            "overlap": info.overlap,
            "missed": f"{info.missed}, within {seconds(info.catch_up)}",
            "jitter": seconds(info.jitter) if info.jitter else None,
            "start": both(info.start, now) if info.start else None,
            "end": both(info.end, now) if info.end else None,
            "declared by": "data" if info.source == "data" else "code",
        }
    )


@schedule.command("next")
@click.argument("name")
@click.option(
    "--limit", "-n", type=click.IntRange(1, MOST), default=5, help="How many (default: 5)."
)
@json_option
@on_store
async def next_(session: Session, name: str, limit: int) -> None:
    """Print when its next ticks are due, in its time zone."""
    now = session.now()
    for due in await session.manager.schedules.next(name, limit):
        if session.out.as_json:
            session.out.json(due.isoformat())
        else:
            session.out.line(f"{due:%a %Y-%m-%d %H:%M:%S %Z} ({relative(due, now)})")


@schedule.command("run")
@click.argument("name")
@on_store
async def run(session: Session, name: str) -> None:
    """Submit its task now, beside its ticks."""
    handle = await session.manager.schedules.run_now(name)
    session.out.line(f"task {handle.task_id} is submitted: `kew task watch {handle.task_id}`.")


@schedule.command("pause")
@click.argument("name")
@click.option("--note", default="", help="Why; your name is added.")
@on_store
async def pause(session: Session, name: str, note: str) -> None:
    """Submit none of its ticks until it is resumed."""
    await session.manager.schedules.pause(name, note=signed(note))
    session.out.line(f"schedule {name} is paused: `kew schedule resume {name}` ends that.")


@schedule.command("resume")
@click.argument("name")
@on_store
async def resume(session: Session, name: str) -> None:
    """Go on with the next tick; `kew schedule backfill` makes up for the others."""
    await session.manager.schedules.resume(name)
    session.out.line(f"schedule {name} goes on.")


@schedule.command("rm")
@click.argument("name")
@yes_option
@on_store
async def rm(session: Session, name: str, yes: bool) -> None:
    """Remove a schedule. If code still declares it, it is back when a process starts."""
    await session.manager.schedules.get(name)
    session.confirm(f"Remove schedule {name}?", yes=yes)
    await session.manager.schedules.remove(name)
    session.out.line(f"schedule {name} is removed.")


@schedule.command("backfill")
@click.argument("name")
@click.argument("start", metavar="START")
@click.argument("end", metavar="END")
@dry_run_option
@yes_option
@on_store
async def backfill(
    session: Session, name: str, start: str, end: str, dry_run: bool, yes: bool
) -> None:
    """Submit its ticks from START on and before END that have no task.

    Both are instants such as 2026-11-30 or 2026-11-30T08:00:00+01:00; without an offset they are in UTC.
    """
    first, last = instant_of(start), instant_of(end)
    if dry_run or not yes:
        free = await session.manager.schedules.backfill(name, first, last, dry_run=True)
        number = counted(len(free), "tick")
        for task_id in free[:SAMPLE]:
            session.out.line(f"  {task_id}")
        if len(free) > SAMPLE:
            session.out.line(f"  and {len(free) - SAMPLE:,} more")
        if dry_run:
            session.out.line(f"{number} of {name} would be submitted.")
            return
        session.confirm(f"Submit {number} of {name}?", yes=yes)
    submitted = await session.manager.schedules.backfill(name, first, last)
    session.out.line(f"{counted(len(submitted), 'task')} submitted.")
    for task_id in submitted:
        session.out.line(f"  {task_id}")
