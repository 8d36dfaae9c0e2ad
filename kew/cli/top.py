"""`kew top`: queues, processes and long tasks, live on a terminal."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from kew import ProcessInfo, StoreUnavailableError
from kew.cli.exits import Exit
from kew.cli.output import Cell, one_line, table_lines
from kew.cli.processes import LONG, UNKNOWN
from kew.cli.queue_status import LIST, STYLES, row, statuses_of
from kew.cli.session import Session, fail, on_store
from kew.cli.words import counted, seconds

MOST_ATTENTION = 5
MOST_LONG = 10


@click.command()
@click.option("--every", default=1.0, show_default=True, type=click.FloatRange(0.2, 60))
@on_store
async def top(session: Session, every: float) -> None:
    """Show queues, processes and long tasks, live. Ctrl-C ends it."""
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        fail("top needs a terminal; `kew status --json` is for programs", Exit.USAGE)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            with contextlib.suppress(StoreUnavailableError):  # the log line below says it
                seen = await look(session)
                lines = frame(*seen, now=session.now(), width=console.width)
                live.update(Group(*lines[: console.height - 1]), refresh=True)
            await asyncio.sleep(every)


async def look(session: Session) -> tuple[list[dict[str, Any]], list[ProcessInfo]]:
    """The queues and processes now."""
    return await statuses_of(session), await session.manager.processes()


def frame(
    statuses: list[dict[str, Any]], processes: list[ProcessInfo], *, now: datetime, width: int
) -> list[Text]:
    """The lines of the screen at one moment."""
    running = sum(status["current_workers"] for status in statuses)
    waiting = sum(status["queued_tasks"] for status in statuses)
    head = (
        f"kew top  {now:%H:%M:%S} UTC  {counted(len(statuses), 'queue')}  "
        f"{counted(len(processes), 'process', 'processes')}  {running:,} running  {waiting:,} waiting"
    )
    busiest = sorted(statuses, key=_urgency)
    lines = [Text(head, style="bold"), Text()]
    lines += table_lines(LIST, [row(status) for status in busiest], width)
    lines += _attention(statuses, width)
    long = [task for process in processes for task in process.long_tasks]
    if long:
        long.sort(key=lambda task: -task.seconds)
        rows: list[list[Cell]] = [
            [task.task_id, seconds(task.seconds), task.function, task.where or UNKNOWN]
            for task in long[:MOST_LONG]
        ]
        lines += [Text(), *table_lines(LONG, rows, width)]
    return lines


def _urgency(status: dict[str, Any]) -> tuple[bool, int, str]:
    """Queues that need attention first, then those with the most tasks."""
    return not status["attention"], -status["queued_tasks"], status["name"]


def _attention(statuses: list[dict[str, Any]], width: int) -> list[Text]:
    items = [item for status in statuses for item in status["attention"]]
    items.sort(key=lambda item: list(STYLES).index(item["severity"]))
    lines = []
    for item in items[:MOST_ATTENTION]:
        line = Text(one_line(f"{item['queue']}: {item['text']}"), style=STYLES[item["severity"]])
        line.truncate(width, overflow="ellipsis")
        lines.append(line)
    return [Text(), *lines] if lines else []
