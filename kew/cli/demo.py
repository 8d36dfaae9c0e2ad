"""`kew demo`: a queue digests every file of a folder and counts its lines."""

from __future__ import annotations

import asyncio
import logging
import shlex
import sysconfig
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import attrs
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kew import QueueProcessorError, TaskQueueError
from kew.cli import screen, summary, words
from kew.cli.drive import Drive, check_options
from kew.cli.folder import Folder, look_into
from kew.cli.tally import Tally

REFRESH = 0.1
MEMORY = "memory://"
SQLITE = "sqlite://"


@attrs.frozen(kw_only=True)
class Order:
    """The command line's arguments."""

    folder: Folder
    given: Path | None
    url: str
    workers: int
    namespace: str

    @property
    def store(self) -> str:
        """The store in words, without its password."""
        if self.url == MEMORY:
            return "this process's memory"
        if self.url.startswith(SQLITE):
            return f"{self.url}, namespace {self.namespace}"
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path}, namespace {self.namespace}"

    def again(self) -> str:
        """The command that continues this run, without a password."""
        words = ["kew", "demo", *([str(self.given)] if self.given else []), *self._option()]
        return shlex.join(words) + (
            "" if self.namespace == "kew-demo" else f" --namespace {self.namespace}"
        )

    def _option(self) -> tuple[str, str]:
        if self.url.startswith(SQLITE):
            return "--store", self.url
        return "--redis", self.url if "@" not in self.url and "?" not in self.url else "URL"


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--store",
    envvar="KEW_DEMO_STORE",
    metavar="FILE|URL",
    help="Keep the queue in this file, or in the store of this URL [KEW_DEMO_STORE].",
)
@click.option(
    "--redis", metavar="URL", help="Keep the queue in this Redis; the same as --store URL."
)
@click.option(
    "--workers", default=8, show_default=True, help="Files at a time, over all processes."
)
@click.option(
    "--namespace", default="kew-demo", show_default=True, help="Keeps separate runs apart."
)
def demo(
    folder: Path | None, store: str | None, redis: str | None, workers: int, namespace: str
) -> None:
    """Run every file of FOLDER and its subfolders through a queue.

    One task per file reads the file, digests it (SHA-256) and counts its lines. Small files have
    priority. A file that can't be read is tried three times, and then becomes a dead letter. The
    default FOLDER is Python's standard library.

    The queue is kept in memory, or in a file with --store FILE, or in Redis with --store URL. In
    a file or in Redis, a run that was killed continues where it stopped when you start it again.

    \b
    Exit codes:
      0    every file was digested or became a dead letter
      2    invalid folder or option, or the store can't be reached or used
      130  stopped by Ctrl-C (143: by SIGTERM); running tasks were released
    """
    if store is not None and redis is not None:
        screen.refuse("give --store or --redis, not both")
    url = url_of(store) if store is not None else redis or MEMORY
    try:
        check_options(url=url, namespace=namespace, workers=workers)
    except TaskQueueError as error:
        screen.refuse(error)
    place = _place(folder)
    console = screen.console()
    order = Order(
        folder=look_into(place, is_library=folder is None),
        given=folder,
        url=url,
        workers=workers,
        namespace=namespace,
    )
    _announce(order, console)
    if not order.folder.files:
        console.print("There are no files in this folder.")
        return
    _obey(order, console)


def url_of(store: str) -> str:
    """The URL of a store that was given as a URL or as the path of a file."""
    return store if ":" in store else f"{SQLITE}{quote(store)}"


def _place(folder: Path | None) -> Path:
    place = (folder or Path(sysconfig.get_path("stdlib"))).resolve()
    if not place.exists():
        screen.refuse(f"folder {folder} doesn't exist")
    if not place.is_dir():
        screen.refuse(f"{folder} is a file; give the folder that contains it")
    return place


def _announce(order: Order, console: Console) -> None:
    folder = order.folder
    size = words.volume(folder.total_bytes)
    line = f"{summary.files(len(folder.files))}, {size}, in {screen.printable(str(folder.path))}"
    console.print(line, markup=False, soft_wrap=True)
    if folder.others:
        console.print(f"(skipped, not regular files: {folder.others:,})", style="dim")
    if folder.closed:
        closed = summary.plural(folder.closed, "folder", "s")
        console.print(f"(skipped: {closed} without permission)", style="dim")


def _obey(order: Order, console: Console) -> None:
    tally = Tally(order.folder)
    begun = time.monotonic()
    try:
        status = _run(order, tally, console)
    except KeyboardInterrupt:
        _stopped(order, tally, console)
        raise SystemExit(screen.INTERRUPTED) from None
    except screen.Terminated:
        _stopped(order, tally, console)
        raise SystemExit(screen.TERMINATED) from None
    except QueueProcessorError as error:
        advice = f". To continue: {order.again()}" if tally.ended else ""
        screen.refuse(f"{str(error).rstrip('.')}{advice}")
    except TaskQueueError as error:
        screen.refuse(error)
    took = time.monotonic() - begun
    summary.show(
        summary.Report(tally=tally, status=status, seconds=took, store=order.store), console
    )


def _run(order: Order, tally: Tally, console: Console) -> dict[str, object]:
    """The queue's status at the end. Draws the bar only on a terminal."""
    with _bar(console) as progress:
        bar = progress.add_task("connecting", total=len(order.folder.files))
        drive = Drive(
            tally,
            url=order.url,
            namespace=order.namespace,
            workers=order.workers,
            stage=lambda words: progress.update(bar, description=words),
            continues=lambda: _continue(tally, progress.console),
        )

        async def work() -> None:
            drawing = asyncio.create_task(_draw(progress, tally))
            try:
                await drive.run()
            finally:
                drawing.cancel()
                progress.update(bar, completed=tally.ended)

        complaints = screen.Complaints(progress.console)
        logger = logging.getLogger("kew")
        logger.addHandler(complaints)
        try:
            screen.run(work())
        finally:
            logger.removeHandler(complaints)
    return drive.status


def _continue(tally: Tally, console: Console) -> None:
    ended, left = len(tally.before), len(tally.folder.files) - len(tally.before)
    if left:
        said = f"Continuing an earlier run: {ended:,} finished, {left:,} left."
        console.print(said, highlight=False)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


async def _draw(progress: Progress, tally: Tally) -> None:
    """Update the bar ten times a second rather than once per file, which would slow a busy queue down."""
    while True:
        for task_id in progress.task_ids:
            progress.update(task_id, completed=tally.ended)
        await asyncio.sleep(REFRESH)


def _stopped(order: Order, tally: Tally, console: Console) -> None:
    done = len(tally.now) + len(tally.before)
    console.print(
        f"Stopped with {done:,} of {summary.files(len(order.folder.files))} digested; "
        "running tasks were released.",
        style="yellow",
    )
    if order.url == MEMORY:
        advice = (
            "The queue was in memory and is gone. With --store FILE, a stopped run can continue."
        )
    else:
        advice = f"To continue: {order.again()}"
    console.print(advice, markup=False, soft_wrap=True)
