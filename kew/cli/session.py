"""A command's connection to a store: its options, its errors as exit codes, its questions before anything is lost.

A command declares nothing: it creates no queue, works on none, and changes nothing by reading.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

import click
from rich.text import Text

from kew import (
    InvalidConfigError,
    QueueNotFoundError,
    TaskNotFoundError,
    TaskQueueError,
    TaskQueueManager,
)
from kew.bootstrap import DEFAULT_NAMESPACE, DEFAULT_URL
from kew.cli.exits import Exit, code_of
from kew.cli.output import Output, one_line
from kew.cli.screen import Complaints, Terminated, console, run
from kew.domain.errors import shown
from kew.domain.suggestions import did_you_mean

PATIENCE = 5.0  # seconds for which a submit is repeated
COMPLETION_SECONDS = 1.0
PRIVATE = (
    "the queues of memory:// are inside of one process, so no command can reach them; "
    "give the URL of a Redis: --url redis://localhost:6379, or KEW_URL"
)
P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Session:
    """What a command has at hand: the manager, and where it prints."""

    def __init__(self, url: str, namespace: str, output: Output) -> None:
        self.out = output
        self.manager = manager_of(url, namespace)

    def now(self) -> datetime:
        """This host's time, beside which instants are shown as "3 min ago"."""
        return datetime.now(UTC)

    def refuse(self, reason: object) -> NoReturn:
        """Say why nothing was changed, and exit with 1."""
        fail(reason, Exit.FAILED)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something is lost, unless `--yes` was given; exits with 1 if the answer is no."""
        if yes:
            return
        try:
            agreed = click.confirm(one_line(question), err=True)
        except click.Abort:
            fail("nothing was changed: confirm with y, or give --yes", Exit.USAGE)
        if not agreed:
            fail("nothing was changed", Exit.FAILED)


def manager_of(url: str, namespace: str) -> TaskQueueManager:
    """A manager that is not initialized yet. Raises `InvalidConfigError`."""
    if url.startswith("memory://"):
        raise InvalidConfigError(PRIVATE)
    return TaskQueueManager(url, namespace=namespace, patience=PATIENCE)


def fail(reason: object, code: Exit) -> NoReturn:
    """One line on standard error, and the exit code."""
    console(stderr=True).print(
        Text.assemble(("kew: ", "bold red"), one_line(reason)), soft_wrap=True
    )
    raise SystemExit(code)


# --- options


def complete_queue(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Queue names for the shell; none if the store doesn't answer soon."""
    url = context.params.get("url") or DEFAULT_URL
    namespace = context.params.get("namespace") or DEFAULT_NAMESPACE

    async def names() -> list[str]:
        async with asyncio.timeout(COMPLETION_SECONDS), manager_of(url, namespace) as manager:
            return await manager.get_queue_names()

    logging.getLogger("kew").setLevel(logging.CRITICAL)
    try:
        return [name for name in asyncio.run(names()) if name.startswith(incomplete)]
    except (TaskQueueError, TimeoutError):
        return []


def queue_argument(function: F) -> F:
    """The argument QUEUE, which the shell completes."""
    return click.argument("queue", shell_complete=complete_queue)(function)


def json_option(function: F) -> F:
    """The option --json."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON; of a list, one line for each."
    )(function)


def yes_option(function: F) -> F:
    """The option --yes."""
    return click.option("--yes", "-y", is_flag=True, help="Don't ask for confirmation.")(function)


def dry_run_option(function: F) -> F:
    """The option --dry-run."""
    return click.option(
        "--dry-run", is_flag=True, help="Only print how many would be affected, and some of them."
    )(function)


def store_options(function: F) -> F:
    """The options --url and --namespace."""
    url = click.option(
        "--url",
        envvar="KEW_URL",
        default=DEFAULT_URL,
        metavar="URL",
        help=f"The store [KEW_URL; default: {DEFAULT_URL}].",
    )
    namespace = click.option(
        "--namespace",
        envvar="KEW_NAMESPACE",
        default=DEFAULT_NAMESPACE,
        metavar="NAME",
        help=f"The queues' namespace [KEW_NAMESPACE; default: {DEFAULT_NAMESPACE}].",
    )
    return url(namespace(function))


def on_store(work: Callable[Concatenate[Session, P], Awaitable[None]]) -> Callable[P, None]:
    """Make a command's body of a coroutine function that takes a session: with --url and --namespace."""

    @store_options
    @functools.wraps(work)
    def command(*, url: str, namespace: str, as_json: bool = False, **given: Any) -> None:
        output = Output(as_json=as_json)
        try:
            session = Session(url, namespace, output)
            run(_carry_out(session, functools.partial(work, session, **given)))
        except TaskQueueError as error:
            fail(error, code_of(error))
        except KeyboardInterrupt:
            raise SystemExit(Exit.INTERRUPTED) from None
        except Terminated:
            raise SystemExit(Exit.TERMINATED) from None
        except BrokenPipeError:  # the reader, such as `head`, has seen enough
            sys.stderr.close()
            raise SystemExit(Exit.OK) from None

    return command  # type: ignore[return-value]  # click calls it with the options' values


async def _carry_out(session: Session, work: Callable[[], Awaitable[None]]) -> None:
    logger = logging.getLogger("kew")
    complaints, silent = Complaints(console(stderr=True)), logging.NullHandler()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(silent)  # what can't be connected to is an error, not a log line
    try:
        async with session.manager:
            logger.addHandler(complaints)
            await _with_suggestions(session, work)
    finally:
        logger.removeHandler(complaints)
        logger.removeHandler(silent)
        logger.propagate = propagate


async def _with_suggestions(session: Session, work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except QueueNotFoundError as error:
        known = await session.manager.get_queue_names()
        meant = did_you_mean(error.queue, known) or "; `kew queue ls` lists the queues"
        fail(f"there is no queue {shown(error.queue)}{meant}", Exit.NOT_FOUND)
    except TaskNotFoundError as error:
        reason = "it was never submitted, or its record has expired"
        fail(f"there is no task {shown(error.task_id)}: {reason}", Exit.NOT_FOUND)
