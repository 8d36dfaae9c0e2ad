"""`kew breaker`: a queue's circuit breaker."""

from __future__ import annotations

import click

from kew.cli.group import Group
from kew.cli.output import one_line
from kew.cli.queues import breaker_text
from kew.cli.session import Session, json_option, on_store, queue_argument, yes_option
from kew.cli.words import both, relative, when


@click.group(cls=Group)
def breaker() -> None:
    """Look at a queue's circuit breaker, open and close it."""


@breaker.command("show")
@queue_argument
@json_option
@on_store
async def show(session: Session, queue: str) -> None:
    """Show its state, since when, until when, and the errors that opened it."""
    status = await session.manager.get_queue_status(queue)
    breaker = status["breaker"]
    if session.out.as_json:
        session.out.json({"queue": queue, **breaker})
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


@breaker.command("close")
@queue_argument
@on_store
async def close(session: Session, queue: str) -> None:
    """Close it, so that tasks start at once."""
    await session.manager.reset_breaker(queue)
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
    await session.manager.open_breaker(queue)
    session.out.line(f"the breaker of {queue} is open.")
