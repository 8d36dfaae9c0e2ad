"""`kew worker`: run a program's queues, without signal handlers of its own."""

from __future__ import annotations

from pathlib import Path

import click

from kew.cli.supervising import Supervisor, command_of
from kew.cli.working import Work, work


@click.command(epilog="")
@click.argument("app", metavar="MODULE:MANAGER")
@click.option(
    "--queues",
    "-q",
    multiple=True,
    metavar="NAME",
    help="Work on this queue alone; repeat it, or separate names by commas.",
)
@click.option(
    "--processes",
    "-p",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="How many processes work.",
)
@click.option("--burst", is_flag=True, help="End when nothing waits that can start in a minute.")
@click.option("--reload", is_flag=True, help="Restart when a Python file of the folder changes.")
@click.option(
    "--grace",
    default=8.0,
    show_default=True,
    type=click.FloatRange(0, 24 * 3600),
    metavar="SECONDS",
    help="How long running tasks get at the end; then they are released, and run again.",
)
@click.option(
    "--health-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Keep the health of the process in this file, for `kew health --file`.",
)
@click.option(
    "--app-dir",
    default=".",
    show_default=True,
    type=click.Path(exists=True, file_okay=False),
    metavar="DIR",
    help="The folder to import from.",
)
def worker(
    app: str,
    queues: tuple[str, ...],
    processes: int,
    burst: bool,
    reload: bool,
    grace: float,
    health_file: Path | None,
    app_dir: str,
) -> None:
    """Import a program, and work on its queues.

    MODULE:MANAGER is a TaskQueueManager, or a function without arguments that returns one:
    `kew worker shop.jobs:manager`. It works on the queues of TaskQueueManager(queues=[...]) and of
    @manager.task(queue=QueueConfig(...)).

    At SIGTERM or Ctrl-C, it starts no more tasks and waits for those that run. A second signal
    doesn't wait.

    \b
    Exit codes:
      0    stopped by a signal, or done (--burst)
      1    failed
      2    wrong usage, or the program can't be imported
      4    the store can't be reached
      130  stopped by a second Ctrl-C (143: by a second SIGTERM)
    """
    names = tuple(name for each in queues for name in each.split(",") if name)
    if processes > 1 and health_file is not None:
        raise click.UsageError("--health-file is for one process: start several commands instead")
    if processes > 1 or reload:
        options = [f"--grace={grace}", f"--app-dir={app_dir}", *(f"--queues={n}" for n in names)]
        options += ["--burst"] if burst else []
        options += [] if health_file is None else [f"--health-file={health_file}"]
        watched = Path(app_dir).resolve() if reload else None
        command = command_of(app, options)
        raise SystemExit(Supervisor(command, processes, grace=grace, watched=watched).run())
    what = Work(
        target=app,
        folder=app_dir,
        queues=names,
        is_burst=burst,
        grace=grace,
        health_file=health_file,
    )
    raise SystemExit(work(what))
