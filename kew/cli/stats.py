"""`kew stats`: what happened in the queues in the last hour, or in one queue step by step."""

from __future__ import annotations

import click

from kew import QueueHistory
from kew.cli.output import Cell, Column
from kew.cli.session import Session, complete_queue, json_option, on_store
from kew.cli.settings import duration_of
from kew.cli.words import NONE, seconds
from kew.domain.history import HistoryPoint

FIGURES = (
    Column("SUBMITTED", is_right=True),
    Column("DONE", is_right=True),
    Column("FAILED", is_right=True),
    Column("RETRIED", is_right=True),
    Column("LOST", is_right=True),
    Column("WAITING", is_right=True),
    Column("WAIT P95", is_right=True),
    Column("RUN P95", is_right=True),
)
QUEUES = (Column("QUEUE", gives_way=True), *FIGURES)
STEPS = (Column("FROM"), *FIGURES)


@click.command()
@click.argument("queue", required=False, shell_complete=complete_queue)
@click.option(
    "--span", default="1h", show_default=True, metavar="DURATION", help="How far back: 10min, 30d."
)
@json_option
@on_store
async def stats(session: Session, queue: str | None, span: str) -> None:
    """Show what happened: a line for each queue or, of QUEUE, for each minute or hour."""
    names = [queue] if queue else await session.manager.get_queue_names()
    found = [await session.manager.queue(name).history(duration_of(span)) for name in names]
    if session.out.as_json:
        session.out.json_lines(each.to_dict() for each in found)
    elif queue:
        print_steps(session, found[0])
    elif found:
        rows = [[each.queue, *figures(each.total)] for each in found]
        session.out.table(QUEUES, rows)
    else:
        session.out.line("There are no queues in this namespace.")


def print_steps(session: Session, history: QueueHistory) -> None:
    """A line for each step in which something happened, and one for all."""
    form = "%H:%M" if history.step < 3600 else "%m-%d %H:%M"
    rows = [
        [f"{point.at:{form}}", *figures(point)]
        for point in history.points
        if point.submitted or point.started or point.completed or point.failed or point.lost
    ]
    session.out.table(STEPS, [*rows, ["all", *figures(history.total)]])
    session.out.line(f"A line is {seconds(history.step)} (UTC); those without events are left out.")


def figures(point: HistoryPoint) -> list[Cell]:
    """The figures of a step."""
    return [
        point.submitted,
        point.completed,
        point.failed,
        point.retried,
        point.lost,
        NONE if point.waiting is None else point.waiting,
        *(_time(point.percentile(what, 0.95)) for what in ("wait", "run")),
    ]


def _time(value: float | None) -> str:
    return NONE if value is None else seconds(value)
