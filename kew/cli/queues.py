"""`kew queue`: the queues of the namespace, and what an operator does to one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from kew.cli.group import Group
from kew.cli.notes import note_option, operator, signed
from kew.cli.output import Column, one_line
from kew.cli.queue_status import (
    LIST,
    facts,
    overrides,
    print_attention,
    processes_text,
    row,
    statuses_of,
)
from kew.cli.session import (
    Session,
    dry_run_option,
    json_option,
    on_store,
    queue_argument,
    yes_option,
)
from kew.cli.settings import settings_of, value_text
from kew.cli.words import counted, relative, seconds, when

SAMPLE = 5
PACE_SPAN = 300.0  # seconds
LOOKED_AT = 100  # tasks that come first, for the oldest
SETTINGS = (
    Column("SETTING"),
    Column("IN FORCE", gives_way=True),
    Column("DECLARED IN CODE", gives_way=True),
)
UNKNOWN_FUNCTIONS = (
    Column("UNKNOWN FUNCTION", gives_way=True),
    Column("TASKS", is_right=True),
    Column("OLDEST", is_right=True),
)


@click.group(cls=Group)
def queue() -> None:
    """Look at queues and steer them."""


@queue.command("ls")
@json_option
@on_store
async def ls(session: Session) -> None:
    """List the queues of the namespace."""
    statuses = await statuses_of(session)
    if session.out.as_json:
        session.out.json_lines(statuses)
    elif statuses:
        session.out.table(LIST, [row(status) for status in statuses])
    else:
        session.out.line("There are no queues in this namespace.")


@queue.command("show")
@queue_argument
@json_option
@on_store
async def show(session: Session, queue: str) -> None:
    """Show a queue: what waits and runs, its settings, and what needs attention."""
    status = await session.manager.get_queue_status(queue)
    settings = await session.manager.queue_settings(queue)
    if session.out.as_json:
        session.out.json({**status, "settings": settings})
        return
    now = when(status["now"]) or session.now()
    more = {
        "oldest": await oldest(session, status, now),
        "pace": await pace(session, status),
    }
    processes = await processes_text(session, status)
    session.out.facts(facts(status, now, more) | {"processes": processes})
    print_attention(session, [status])
    await print_unknown(session, status, now)
    session.out.line()
    rows = [
        [
            name,
            value_text(name, each["value"]),
            value_text(name, each["declared"]) if each["overridden"] else "",
        ]
        for name, each in settings.items()
    ]
    session.out.table(SETTINGS, rows)


async def oldest(session: Session, status: dict[str, Any], now: datetime) -> str | None:
    """Since when the first of the tasks that wait has waited; None: none waits."""
    page = await session.manager.queue(status["name"]).tasks(state="waiting", limit=LOOKED_AT)
    first = min(page.tasks, key=lambda info: info.queued_time or now, default=None)
    return f"{first.task_id}, submitted {relative(first.queued_time, now)}" if first else None


async def pace(session: Session, status: dict[str, Any]) -> str | None:
    """How many tasks left the queue in the last minutes and, if it is full, when there is room."""
    history = await session.manager.queue(status["name"]).history(PACE_SPAN)
    ended = history.total.drained
    text = f"{counted(ended, 'task')} left the queue in the last {seconds(PACE_SPAN)}"
    over = status["queued_tasks"] + 1 - status["max_size"]
    if over <= 0:
        return text
    if not ended:
        return f"{text}: there is no room until some do"
    return f"{text}: at that pace, there is room in about {seconds(over * PACE_SPAN / ended)}"


async def print_unknown(session: Session, status: dict[str, Any], now: datetime) -> None:
    """The functions that no process knows, since when tasks wait for them, and what the processes know."""
    handle, rows = session.manager.queue(status["name"]), []
    for function, tasks in status["stuck_functions"].items():
        page = await handle.tasks(state="waiting", function=function, limit=LOOKED_AT)
        times = [info.queued_time for info in page.tasks if info.queued_time]
        rows.append([function, tasks, relative(min(times, default=None), now)])
    if not rows:
        return
    session.out.line()
    session.out.table(UNKNOWN_FUNCTIONS, rows)
    processes = await session.manager.processes()
    here = [one for one in processes if status["name"] in [each.queue for each in one.queues]]
    session.out.line()
    for one in here:
        session.out.paragraph(f"process {one.name} knows {', '.join(one.functions) or 'none'}")
    if not here:
        session.out.line("No process works on this queue.")


# --- steering


@queue.command("pause")
@queue_argument
@note_option
@on_store
async def pause(session: Session, queue: str, note: str) -> None:
    """Start none of its tasks, in any process; running ones go on."""
    await session.manager.pause_queue(queue, signed(note))
    session.out.line(f"{queue} is paused. `kew queue resume {queue}` ends it.")


@queue.command("resume")
@queue_argument
@on_store
async def resume(session: Session, queue: str) -> None:
    """End a pause, a drain and a snooze."""
    await session.manager.resume_queue(queue)
    session.out.line(f"{queue} accepts and starts tasks.")


@queue.command("drain")
@queue_argument
@note_option
@on_store
async def drain(session: Session, queue: str, note: str) -> None:
    """Accept nothing more, and finish what it has."""
    await session.manager.drain_queue(queue, signed(note))
    session.out.line(f"{queue} accepts no tasks. `kew queue resume {queue}` ends it.")


@queue.command("purge")
@queue_argument
@click.option("--state", metavar="STATE", help="Only those in this state: ready, deferred, stuck.")
@click.option("--function", metavar="NAME", help="Only those of a function (module:name).")
@click.option("--key", metavar="KEY", help="Only those of a key.")
@dry_run_option
@yes_option
@on_store
async def purge(session: Session, /, queue: str, dry_run: bool, yes: bool, **wanted: Any) -> None:
    """Cancel what waits, or what of it the options choose; running tasks go on."""
    handle = session.manager.queue(queue)
    if dry_run or not yes:
        text = counted(await handle.purge(**wanted, dry_run=True), "task")
        await print_sample(session, queue, wanted)
        if dry_run:
            session.out.line(f"{text} of {queue} would be cancelled.")
            return
        session.confirm(f"Cancel {text} of {queue}?", yes=yes)
    done = await handle.purge(**wanted)
    session.out.line(f"{counted(done, 'task')} of {queue} cancelled.")


async def print_sample(session: Session, queue: str, wanted: dict[str, Any]) -> None:
    """Some of the tasks that wait."""
    chosen = {**wanted, "state": wanted["state"] or "waiting"}
    page = await session.manager.queue(queue).tasks(**chosen, limit=SAMPLE)
    for info in page.tasks:
        session.out.line("  " + one_line(f"{info.task_id} {info.task_type}"))


@queue.command("set")
@queue_argument
@click.argument("settings", nargs=-1, required=True, metavar="NAME=VALUE...")
@on_store
async def set_(session: Session, queue: str, settings: tuple[str, ...]) -> None:
    """Override settings, in all processes, until they are unset.

    Such as: max_workers=5 max_size=2000 rate=100/60s task_timeout=2min rate=none. A deployment doesn't end an override.
    """
    await session.manager.set_overrides(queue, by=operator(), **settings_of(settings))
    await print_overrides(session, queue)


@queue.command("unset")
@queue_argument
@click.argument("names", nargs=-1, metavar="[NAME...]")
@on_store
async def unset(session: Session, queue: str, names: tuple[str, ...]) -> None:
    """Let what the code declares be in force again: for these settings, or for all."""
    await session.manager.remove_overrides(queue, *names)
    await print_overrides(session, queue)


@queue.command("rm")
@queue_argument
@yes_option
@on_store
async def rm(session: Session, queue: str, yes: bool) -> None:
    """Remove a queue with all its tasks, dead letters included."""
    status = await session.manager.get_queue_status(queue)
    tasks = counted(status["queued_tasks"] + status["current_workers"], "open task")
    at_work = counted(len(status["processes"]), "process", "processes")
    question = f"Remove {queue} with {tasks} and all records? {at_work} may create it again."
    session.confirm(question, yes=yes)
    await session.manager.delete_queue(queue)
    session.out.line(f"{queue} is removed.")


async def print_overrides(session: Session, queue: str) -> None:
    """The overrides in force."""
    lines = overrides(await session.manager.get_queue_status(queue), session.now())
    for line in lines or ["no overrides"]:
        session.out.line(f"{queue}: {line}")
