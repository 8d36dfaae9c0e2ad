"""`kew key`: the limits that are set for single keys of a queue."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from kew import KeyLimit
from kew.app.pages import MOST_IN_A_PAGE
from kew.cli.exits import Exit
from kew.cli.group import Group
from kew.cli.output import Cell, Column
from kew.cli.session import Session, fail, json_option, on_store, queue_argument, yes_option
from kew.cli.settings import duration_of, number_of, rate_of, value_text
from kew.cli.words import NONE, both, counted, relative, seconds
from kew.domain.errors import shown
from kew.domain.suggestions import did_you_mean

LIST = (
    Column("KEY", gives_way=True),
    Column("MAX WORKERS", is_right=True),
    Column("MAX SIZE", is_right=True),
    Column("RATE", gives_way=True),
    Column("EXPIRES", is_right=True),
)
LIMITS = {"max_workers": number_of, "max_size": number_of, "rate": rate_of}
HOW = "NAME=VALUE, such as max_workers=2, max_size=100, rate=10/1s"
SAMPLE = 5


@click.group(cls=Group)
def key() -> None:
    """Look at the limits of single keys, set and remove them."""


@key.command("ls")
@queue_argument
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="How many.")
@json_option
@on_store
async def ls(session: Session, queue: str, limit: int) -> None:
    """List the keys of a queue that have limits of their own."""
    limits, is_all = await found(session, queue, limit)
    if session.out.as_json:
        session.out.json_lines(each.to_dict() for each in limits)
    elif limits:
        session.out.table(LIST, [row(each, session.now()) for each in limits])
        if not is_all:
            session.out.line(f"There are more: --limit {limit * 5}, or `kew key show {queue} KEY`.")
    else:
        session.out.line(f"No key of {queue} has limits of its own.")


async def found(session: Session, queue: str, limit: int) -> tuple[list[KeyLimit], bool]:
    """At most `limit` keys, and whether these are all."""
    limits: dict[str, KeyLimit] = {}
    cursor: str | None = None
    while True:
        size = min(MOST_IN_A_PAGE, limit)
        page = await session.manager.key_limits(queue, limit=size, cursor=cursor)
        limits |= {each.key: each for each in page}
        cursor = page.cursor
        if cursor is None or len(limits) >= limit:
            break
    listed = list(limits.values())[:limit]
    return sorted(listed, key=lambda each: each.key), cursor is None and len(limits) <= limit


def row(limit: KeyLimit, now: datetime) -> list[Cell]:
    """A key's line in a list."""
    return [
        limit.key,
        NONE if limit.max_workers is None else limit.max_workers,
        NONE if limit.max_size is None else limit.max_size,
        rates(limit),
        relative(limit.expires, now) if limit.expires else "never",
    ]


def rates(limit: KeyLimit) -> str:
    """ "10 in 1 s, 100 in 60 s"; "none": any rate; "-": as the queue declares."""
    if limit.rate is None:
        return NONE
    return ", ".join(f"{rate.count:,} in {seconds(rate.per)}" for rate in limit.rate) or "none"


@key.command("show")
@queue_argument
@click.argument("key", metavar="KEY")
@json_option
@on_store
async def show(session: Session, queue: str, key: str) -> None:
    """Show a key: its own limits, and some of its tasks that wait."""
    limits = await session.manager.key_limits(queue, key=key)
    page = await session.manager.queue(queue).tasks(state="waiting", key=key, limit=SAMPLE)
    if not limits and not page.tasks:
        others = await session.manager.key_limits(queue)
        meant = did_you_mean(key, [limit.key for limit in others])
        fail(
            f"key {shown(key)} of {queue} has no limits and no waiting task{meant}", Exit.NOT_FOUND
        )
    if session.out.as_json:
        tasks = [dict(info) for info in page.tasks]
        limit = limits[0].to_dict() if limits else None
        session.out.json({"key": key, "limit": limit, "waiting": tasks})
        return
    now = session.now()
    declared = await declared_text(session, queue)
    facts: dict[str, Cell | None] = {"key": key, "limits": f"as the queue declares: {declared}"}
    for own in limits:
        facts |= {
            "limits": f"of its own; - is as the queue declares: {declared}",
            "max_workers": row(own, now)[1],
            "max_size": row(own, now)[2],
            "rate": rates(own),
            "expires": both(own.expires, now) if own.expires else "never",
        }
    session.out.facts(facts)
    more = "at least " if page.cursor else ""
    verb = "waits" if len(page.tasks) == 1 and not more else "wait"
    session.out.line(f"{more}{counted(len(page.tasks), 'task')} of it {verb}")
    for info in page.tasks:
        session.out.line(f"  {info.task_id}")


async def declared_text(session: Session, queue: str) -> str:
    """The limits that the queue declares for each key: "max_workers 1, rate 10 in 60 s"."""
    settings = await session.manager.queue_settings(queue)
    values = {name: settings[f"per_key.{name}"]["value"] for name in LIMITS}
    return ", ".join(f"{name} {value_text(name, value)}" for name, value in values.items())


@key.command("set")
@queue_argument
@click.argument("key", metavar="KEY")
@click.argument("limits", nargs=-1, required=True, metavar="NAME=VALUE...")
@click.option("--expires-in", metavar="DURATION", help="End them by themselves after this time.")
@on_store
async def set_(
    session: Session, queue: str, key: str, limits: tuple[str, ...], expires_in: str | None
) -> None:
    """Give a key limits of its own, in all processes: max_workers=2 max_size=100 rate=10/1s.

    They replace those that it had.
    """
    lasts = None if expires_in is None else duration_of(expires_in)
    await session.manager.set_key_limit(queue, key, **limits_of(limits), expires_in=lasts)
    session.out.line(f"key {key} of {queue} has limits of its own: `kew key ls {queue}`.")


def limits_of(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Limits by name. Raises `click.BadParameter`."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in LIMITS:
            meant = did_you_mean(name, LIMITS)
            raise click.BadParameter(f"{pair!r} is no limit{meant}: give {HOW}")
        values[name] = LIMITS[name](text)
    return values


@key.command("rm")
@queue_argument
@click.argument("key", metavar="KEY")
@yes_option
@on_store
async def rm(session: Session, queue: str, key: str, yes: bool) -> None:
    """Let the limits that the queue declares be in force again for a key."""
    if not await session.manager.key_limits(queue, key=key):
        fail(f"key {shown(key)} of {queue} has no limits of its own", Exit.NOT_FOUND)
    session.confirm(f"Remove the limits of key {key} of {queue}?", yes=yes)
    await session.manager.remove_key_limit(queue, key)
    session.out.line(f"key {key} of {queue} has the limits that the queue declares.")
