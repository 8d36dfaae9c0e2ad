"""`kew status` and `kew why TASK`: the short forms of what is asked most."""

from __future__ import annotations

import click

from kew.cli.queue_status import LIST, print_attention, row, statuses_of
from kew.cli.session import Session, json_option, on_store
from kew.cli.tasks import explain
from kew.cli.words import counted


@click.command()
@json_option
@on_store
async def status(session: Session) -> None:
    """Show all queues, and what needs attention."""
    statuses = await statuses_of(session)
    if session.out.as_json:
        session.out.json_lines(statuses)
        return
    if not statuses:
        session.out.line("There are no queues in this namespace.")
        return
    session.out.table(LIST, [row(each) for each in statuses])
    print_attention(session, statuses)
    if not any(each["attention"] for each in statuses):
        session.out.line()
        session.out.line(f"All is well: {counted(len(statuses), 'queue')}.")


@click.command()
@click.argument("task_id", metavar="TASK")
@json_option
@on_store
async def why(session: Session, task_id: str) -> None:
    """Say why TASK isn't running, and when it can (`kew task why`)."""
    await explain(session, task_id)
