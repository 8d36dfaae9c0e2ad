"""`kew dead`: tasks that failed for good, one by one and in groups of one cause."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from kew import DeadLetterGroup, TaskInfo
from kew.cli.group import Group
from kew.cli.output import Column
from kew.cli.session import (
    Session,
    dry_run_option,
    json_option,
    on_store,
    queue_argument,
    yes_option,
)
from kew.cli.settings import duration_of
from kew.cli.tasks import print_task
from kew.cli.words import counted, relative

F = TypeVar("F", bound=Callable[..., Any])
PAGE: Final = 1000
SAMPLE: Final = 5
LIST = (
    Column("TASK", gives_way=True),
    Column("FAILED", is_right=True),
    Column("ATTEMPTS", is_right=True),
    Column("ERROR", gives_way=True),
)
GROUPS = (
    Column("COUNT", is_right=True),
    Column("FIRST", is_right=True),
    Column("LAST", is_right=True),
    Column("GROUP", gives_way=True),
    Column("EXAMPLE", gives_way=True),
)


@click.group(cls=Group)
def dead() -> None:
    """Read, replay and purge tasks that failed for good."""


def filters(function: F) -> F:
    """The options that choose dead letters."""
    options = [
        click.option("--group", metavar="NAME", help="Only those of a group (`kew dead groups`)."),
        click.option("--function", metavar="NAME", help="Only those of a function (module:name)."),
        click.option("--type", "task_type", metavar="NAME", help="Only those of a task type."),
        click.option(
            "--since",
            type=click.DateTime(),
            metavar="TIME",
            help="Only those that failed since then.",
        ),
        click.option(
            "--until", type=click.DateTime(), metavar="TIME", help="Only those that failed before."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@dead.command("ls")
@queue_argument
@filters
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many.")
@json_option
@on_store
async def ls(session: Session, /, queue: str, limit: int, **wanted: Any) -> None:
    """List a queue's dead letters, the latest first."""
    letters, is_all = await found(session, queue, limit, wanted)
    if session.out.as_json:
        session.out.json_lines(dict(letter) for letter in letters)
        return
    if not letters:
        session.out.line(f"{queue} has no such dead letters.")
        return
    session.out.table(LIST, [row(letter, session.now()) for letter in letters])
    if not is_all:
        session.out.line(f"There are more: --limit {limit * 5}, or `kew dead groups {queue}`.")


async def found(
    session: Session, queue: str, limit: int, wanted: dict[str, Any]
) -> tuple[list[TaskInfo], bool]:
    """At most `limit` dead letters, and whether these are all."""
    letters: list[TaskInfo] = []
    cursor: str | None = None
    while True:
        size = min(PAGE, limit - len(letters))
        page = await session.manager.dead_letters(queue, **wanted, limit=size, cursor=cursor)
        letters += page.tasks
        cursor = page.cursor
        if cursor is None or len(letters) >= limit:
            return letters, cursor is None


def row(letter: TaskInfo, now: datetime) -> list[str | int]:
    """A dead letter's line in a list."""
    failed = relative(letter.completed_time, now)
    return [letter.task_id, failed, letter.attempt, letter.error or ""]


@dead.command("show")
@click.argument("task_id", metavar="TASK")
@json_option
@on_store
async def show(session: Session, task_id: str) -> None:
    """Show a dead letter: each failed attempt, where, and with which traceback."""
    info = await session.manager.get_task_status(task_id)
    if session.out.as_json:
        session.out.json(dict(info))
        return
    print_task(session, info)
    session.out.line()
    if info.status == "failed":
        session.out.line(f"to fix it: kew task replay {shlex.quote(task_id)}", style="dim")
    else:
        session.out.line(f"This is no dead letter: it is {info.status.value}.")


@dead.command("groups")
@queue_argument
@json_option
@on_store
async def groups(session: Session, queue: str) -> None:
    """List what a queue's tasks failed with, each cause once, the latest first."""
    letters = await session.manager.dead_letter_groups(queue)
    if session.out.as_json:
        session.out.json_lines(group.to_dict() for group in letters)
    elif letters:
        session.out.table(GROUPS, [group_row(group, session.now()) for group in letters])
    else:
        session.out.line(f"{queue} has no dead letters.")


def group_row(group: DeadLetterGroup, now: datetime) -> list[str | int]:
    """A group's line in a list."""
    first, last = relative(group.first_time, now), relative(group.last_time, now)
    return [group.count, first, last, group.name, group.example]


async def sample(session: Session, queue: str, limit: int | None, wanted: dict[str, Any]) -> str:
    """How many are meant, in words, after some of them were printed."""
    letters, is_all = await found(session, queue, limit or 10 * PAGE, wanted)
    for letter in letters[:SAMPLE]:
        session.out.line(f"  {letter.task_id}  {letter.error or ''}".splitlines()[0])
    more = len(letters) - SAMPLE
    if more > 0:
        session.out.line(f"  and {more:,} more")
    is_exact = is_all or limit is not None
    return ("" if is_exact else "at least ") + counted(len(letters), "dead letter")


@dead.command("replay")
@queue_argument
@filters
@click.option("--limit", type=click.IntRange(1), help="At most so many, the latest first.")
@click.option("--every", metavar="DURATION", help="Space them: one each 500ms, 2s, 1min.")
@dry_run_option
@yes_option
@on_store
async def replay(
    session: Session,
    /,
    queue: str,
    limit: int | None,
    every: str | None,
    dry_run: bool,
    yes: bool,
    **wanted: Any,
) -> None:
    """Let dead letters run again: those that the options choose, or all.

    Try one before you replay the rest: --limit 1.
    """
    seconds = duration_of(every) if every else None
    if dry_run or not yes:
        number = await sample(session, queue, limit, wanted)
        if dry_run:
            session.out.line(f"{number} of {queue} would be replayed.")
            return
        session.confirm(f"Replay {number} of {queue}?", yes=yes)
    done = await session.manager.replay_dead_letters(queue, **wanted, limit=limit, every=seconds)
    session.out.line(f"{counted(done, 'dead letter')} of {queue} replayed.")


@dead.command("purge")
@queue_argument
@filters
@click.option("--limit", type=click.IntRange(1), help="At most so many, the latest first.")
@dry_run_option
@yes_option
@on_store
async def purge(
    session: Session, /, queue: str, limit: int | None, dry_run: bool, yes: bool, **wanted: Any
) -> None:
    """Remove dead letters for good: those that the options choose, or all."""
    if dry_run or not yes:
        number = await sample(session, queue, limit, wanted)
        if dry_run:
            session.out.line(f"{number} of {queue} would be removed.")
            return
        session.confirm(f"Remove {number} of {queue} for good?", yes=yes)
    done = await session.manager.purge_dead_letters(queue, **wanted, limit=limit)
    session.out.line(f"{counted(done, 'dead letter')} of {queue} removed.")
