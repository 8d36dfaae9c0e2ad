"""`kew process`: the processes that work on queues, and what they run."""

from __future__ import annotations

from datetime import datetime, timedelta

import click
from rich.text import Text

from kew import ProcessInfo
from kew.cli.exits import Exit
from kew.cli.group import Group
from kew.cli.output import Cell, Column
from kew.cli.session import Session, fail, json_option, on_store
from kew.cli.words import both, counted, relative, seconds
from kew.domain.errors import shown
from kew.domain.suggestions import did_you_mean

LIST = (
    Column("PROCESS", gives_way=True),
    Column("RUNNING", is_right=True),
    Column("LAG", is_right=True),
    Column("HEARTBEAT", is_right=True),
    Column("VERSION"),
    Column("QUEUES", gives_way=True),
)
LONG = (
    Column("TASK", gives_way=True),
    Column("FOR", is_right=True),
    Column("FUNCTION", gives_way=True),
    Column("WHERE", gives_way=True),
)
UNKNOWN = "?"
SILENT = timedelta(seconds=45)  # a heartbeat comes every 20 s


@click.group(cls=Group)
def process() -> None:
    """Look at the processes that work on queues."""


@process.command("ls")
@json_option
@on_store
async def ls(session: Session) -> None:
    """List the processes, each as it was at its last heartbeat."""
    found = await session.manager.processes()
    if session.out.as_json:
        session.out.json_lines(each.to_dict() for each in found)
    elif found:
        session.out.table(LIST, [row(session, each) for each in found])
    else:
        session.out.line("No process works on a queue of this namespace.")


def row(session: Session, one: ProcessInfo) -> list[Cell]:
    """A process's line in a list."""
    return [
        one.name,
        running(one),
        UNKNOWN if one.loop_lag is None else seconds(one.loop_lag),
        heartbeat(one.heartbeat_time, session.now()),
        one.version or UNKNOWN,
        ", ".join(each.queue for each in one.queues),
    ]


def heartbeat(at: datetime, now: datetime) -> Text:
    """ "12 s ago", with a mark if it is late: the process is blocked, cut off or gone."""
    text = Text(relative(at, now))
    if now - at > SILENT:
        text.append(" (silent)", style="yellow")
    return text


def running(one: ProcessInfo) -> str:
    """ "3/10": how many tasks it runs, and how many at most."""
    if any(each.running is None or each.slots is None for each in one.queues):
        return UNKNOWN
    tasks = sum(each.running or 0 for each in one.queues)
    return f"{tasks}/{sum(each.slots or 0 for each in one.queues)}"


@process.command("show")
@click.argument("name", metavar="PROCESS")
@json_option
@on_store
async def show(session: Session, name: str) -> None:
    """Show a process: its queues and functions, and where its long tasks are in the code.

    PROCESS is its name or its host:pid.
    """
    known = await session.manager.processes()
    found = [one for one in known if name in (one.name, one.id, f"{one.host}:{one.pid}")]
    if not found:
        meant = did_you_mean(name, [one.name for one in known])
        hint = meant or "; `kew process ls` lists the processes"
        fail(f"there is no process {shown(name)}{hint}", Exit.NOT_FOUND)
    if session.out.as_json:
        session.out.json_lines(one.to_dict() for one in found)
        return
    for one in found:
        print_process(session, one)


def print_process(session: Session, one: ProcessInfo) -> None:
    """A process for people."""
    now = session.now()
    queues = [
        f"{each.queue} ({UNKNOWN if each.running is None else each.running} running)"
        for each in one.queues
    ]
    more = (one.function_count or 0) - len(one.functions)
    functions = [*one.functions, *([f"and {more} more"] if more > 0 else [])]
    session.out.facts(
        {
            "process": one.name,
            "place": f"{one.host}:{one.pid}",
            "version": one.version or UNKNOWN,
            "started": both(one.started_time, now),
            "heartbeat": both(one.heartbeat_time, now),
            "loop lag": None if one.loop_lag is None else seconds(one.loop_lag),
            "queues": "\n".join(queues),
            "functions": "\n".join(functions) or "none",
        }
    )
    if one.long_tasks:
        session.out.line()
        session.out.line(f"{counted(len(one.long_tasks), 'task')} that ran for 5 s or longer:")
        rows = [
            [each.task_id, seconds(each.seconds), each.function, each.where or UNKNOWN]
            for each in one.long_tasks
        ]
        session.out.table(LONG, rows)
