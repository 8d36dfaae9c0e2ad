"""`kew task submit`: submit a call of a function, which is imported by its name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from kew import TaskFunction
from kew.cli.session import Session, on_store
from kew.cli.settings import arguments_of, duration_of
from kew.cli.tasks import print_task


def function_of(name: str) -> Callable[..., Any] | TaskFunction[..., Any, Any]:
    """The function of a name such as "shop.jobs:send", from a module that is imported. Raises `click.BadParameter`."""
    module, colon, path = name.partition(":")
    if not colon or not path:
        raise click.BadParameter(
            f"{name!r} is no function: give MODULE:NAME, such as shop.jobs:send"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = reduce(getattr, path.split("."), importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        raise click.BadParameter(f"{name!r} can't be imported: {error}") from None
    if not callable(found) and not isinstance(found, TaskFunction):
        raise click.BadParameter(f"{name!r} is no function")
    return found


@click.command()
@click.argument("queue")
@click.argument("function", metavar="MODULE:FUNCTION")
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT...]")
@click.option("--id", "task_id", metavar="TASK", help="Its id; without it, one is made.")
@click.option(
    "--type", "task_type", metavar="NAME", help="Its type [default: the function's name]."
)
@click.option("--priority", type=click.Choice(["high", "medium", "low"]), help="Its priority.")
@click.option("--defer-by", metavar="DURATION", help="Start it so much later: 90s, 5min, 2h.")
@click.option("--expires-in", metavar="DURATION", help="Don't start it any more after this time.")
@on_store
async def submit(
    session: Session,
    queue: str,
    function: str,
    arguments: tuple[str, ...],
    task_id: str | None,
    task_type: str | None,
    priority: str | None,
    defer_by: str | None,
    expires_in: str | None,
) -> None:
    """Submit a call. An ARGUMENT is JSON or, if it isn't, text; NAME=VALUE passes it by name.

    MODULE is imported, with the current folder on the path; its function checks the arguments.
    """
    call: Any = function_of(function)
    args, kwargs = arguments_of(arguments)
    name = task_type or getattr(call, "__name__", None) or function.rpartition(":")[2]
    info = await session.manager.submit_task(
        task_id or session.manager.new_task_id(name, queue),
        queue,
        name,
        call,
        {"high": 1, "medium": 2, "low": 3}[priority] if priority else None,
        *args,
        _defer_by=duration_of(defer_by) if defer_by else None,
        _expires_in=duration_of(expires_in) if expires_in else None,
        **kwargs,
    )
    print_task(session, info)
