"""`kew demo`: every file below a folder goes through a queue that digests it and counts its lines."""

from __future__ import annotations

import asyncio
import logging
import shlex
import sysconfig
import time
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kew import QueueProcessorError, TaskQueueError
from kew.adapters.cli import screen, summary
from kew.adapters.cli.drive import Drive, check_options
from kew.adapters.cli.folder import Folder, look_into
from kew.adapters.cli.tally import Tally

REFRESH = 0.1
MEMORY = "memory://"


@attrs.frozen(kw_only=True)
class Order:
    """What the command line asked for."""

    folder: Folder
    given: Path | None
    url: str
    workers: int
    namespace: str

    @property
    def store(self) -> str:
        """The store in words, without a password."""
        if self.url == MEMORY:
            return "this process's memory"
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path}, namespace {self.namespace}"

    def again(self) -> str:
        """The command that goes on; a password isn't repeated."""
        url = self.url if "@" not in self.url and "?" not in self.url else "URL"
        words = ["kew", "demo", *([str(self.given)] if self.given else []), "--redis", url]
        return shlex.join(words) + (
            "" if self.namespace == "kew-demo" else f" --namespace {self.namespace}"
        )


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--redis", "url", default=MEMORY, metavar="URL", help="Keep the queue in this Redis.")
@click.option("--workers", default=8, show_default=True, help="Files at once, over all processes.")
@click.option("--namespace", default="kew-demo", show_default=True, help="Keeps runs apart.")
def demo(folder: Path | None, url: str, workers: int, namespace: str) -> None:
    """Push every file below FOLDER through a queue.

    A task per file reads it, digests it (SHA-256) and counts its lines: small files first, by
    priority; what can't be read is tried three times and is then a dead letter. Without FOLDER:
    Python's own standard library.

    The queue is in memory unless --redis names a server. There, a run that was killed half-way
    goes on when it is started again: what is done stays done.

    \b
    Exit codes:
      0    every file ended, as digested or as a dead letter
      2    bad folder or option, or a Redis that can't be reached or used
      130  stopped by Ctrl-C (143: by SIGTERM); running files were handed back
    """
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
        console.print("There are no files.")
        return
    _obey(order, console)


def _place(folder: Path | None) -> Path:
    place = (folder or Path(sysconfig.get_path("stdlib"))).resolve()
    if not place.exists():
        screen.refuse(f"there is no folder {folder}")
    if not place.is_dir():
        screen.refuse(f"{folder} is a file; name the folder it is in")
    return place


def _announce(order: Order, console: Console) -> None:
    folder = order.folder
    size = summary.volume(folder.total_bytes)
    line = f"{summary.files(len(folder.files))}, {size}, below {screen.printable(str(folder.path))}"
    console.print(line, markup=False, soft_wrap=True)
    if folder.others:
        console.print(f"(left out, as no regular files: {folder.others:,})", style="dim")
    if folder.closed:
        closed = summary.plural(folder.closed, "folder", "s")
        console.print(f"(left out: {closed} without permission)", style="dim")


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
        advice = f". To go on: {order.again()}" if tally.ended else ""
        screen.refuse(f"{str(error).rstrip('.')}{advice}")
    except TaskQueueError as error:
        screen.refuse(error)
    took = time.monotonic() - begun
    summary.show(
        summary.Report(tally=tally, status=status, seconds=took, store=order.store), console
    )


def _run(order: Order, tally: Tally, console: Console) -> dict[str, object]:
    """The queue's status at the end. The bar is drawn only on a terminal."""
    with _bar(console) as progress:
        bar = progress.add_task("connecting", total=len(order.folder.files))
        drive = Drive(
            tally,
            url=order.url,
            namespace=order.namespace,
            workers=order.workers,
            stage=lambda words: progress.update(bar, description=words),
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
    """Ten times a second, whatever happens, so that a busy queue doesn't draw each file."""
    while True:
        for task_id in progress.task_ids:
            progress.update(task_id, completed=tally.ended)
        await asyncio.sleep(REFRESH)


def _stopped(order: Order, tally: Tally, console: Console) -> None:
    done = len(tally.now) + len(tally.before)
    console.print(
        f"Stopped with {done:,} of {summary.files(len(order.folder.files))} digested; "
        "what was running is handed back.",
        style="yellow",
    )
    if order.url == MEMORY:
        advice = "This process's memory is gone with it; with --redis URL a run goes on where it stopped."
    else:
        advice = f"To go on: {order.again()}"
    console.print(advice, markup=False, soft_wrap=True)
