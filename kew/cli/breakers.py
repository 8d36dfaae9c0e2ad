"""`kew breaker`: a queue's circuit breaker."""

from __future__ import annotations

from datetime import datetime

import click

from kew import BreakerChange
from kew.cli.group import Group
from kew.cli.notes import operator
from kew.cli.output import Column, one_line
from kew.cli.queue_status import breaker_text
from kew.cli.session import Session, json_option, on_store, queue_argument, yes_option
from kew.cli.words import both, relative, when

HISTORY = (Column("SINCE"), Column("STATE"), Column("WHY", gives_way=True))
WORDS = {
    "failures": "failures in a row",
    "reset_timeout": "the reset timeout had passed",
    "probe_succeeded": "a probe succeeded",
    "probe_failed": "a probe failed",
    "operator": "an operator",
    "turned_off": "the settings have no breaker any more",
}


@click.group(cls=Group)
def breaker() -> None:
    """Look at a queue's circuit breaker, open and close it."""


@breaker.command("show")
@queue_argument
@json_option
@on_store
async def show(session: Session, queue: str) -> None:
    """Show its state, since when, until when, the errors that opened it, and its last changes."""
    status = await session.manager.get_queue_status(queue)
    breaker, history = status["breaker"], await session.manager.breaker_history(queue)
    if session.out.as_json:
        changes = [each.to_dict() for each in history]
        session.out.json({"queue": queue, **breaker, "history": changes})
        return
    now = when(status["now"]) or session.now()
    session.out.facts(
        {
            "queue": queue,
            "breaker": breaker_text(status),
            "opens after": f"{breaker['opens_after']} failures in a row"
            if breaker["opens_after"]
            else "never",
            "open since": both(breaker["opened_at"], now) if breaker["opened_at"] else None,
            "next probe": both(breaker["probe_at"], now) if breaker["probe_at"] else None,
        }
    )
    if breaker["failures"]:
        session.out.line()
        session.out.line("The last failures that counted:")
        for each in breaker["failures"]:
            task = f" (task {each['task_id']})" if each["task_id"] else ""
            error = each["error"] or "recorded by record_failure()"
            session.out.line("  " + one_line(f"{relative(each['at'], now)}: {error}{task}"))

    if history:
        session.out.line()
        session.out.table(HISTORY, [row(each, now) for each in history])


def row(change: BreakerChange, now: datetime) -> list[str]:
    """A change in the table."""
    why = WORDS[change.cause]
    if change.by:
        why = f"by {change.by}"
    elif change.error:
        why += f": {change.error}"
    task = f" (task {change.task_id})" if change.task_id else ""
    return [both(change.time, now), change.state.replace("_", " "), one_line(why + task)]


@breaker.command("close")
@queue_argument
@on_store
async def close(session: Session, queue: str) -> None:
    """Close it, so that tasks start at once."""
    await session.manager.reset_breaker(queue, by=operator())
    session.out.line(f"the breaker of {queue} is closed.")


@breaker.command("open")
@queue_argument
@yes_option
@on_store
async def open_(session: Session, queue: str, yes: bool) -> None:
    """Open it as failures would: a probe closes it once its reset timeout has passed.

    To stop a queue until you say otherwise, pause it.
    """
    session.confirm(f"Start no tasks of {queue} until a probe succeeds?", yes=yes)
    await session.manager.open_breaker(queue, by=operator())
    session.out.line(f"the breaker of {queue} is open.")
