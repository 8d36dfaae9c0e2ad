"""`kew health`: a probe of one process, or of the store, by an exit code."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from kew.cli.exits import Exit
from kew.cli.output import Output
from kew.cli.session import Session, fail, json_option, on_store, store_options
from kew.domain.suggestions import did_you_mean

OLD_SECONDS: Final = 10.0
"""A health file is written once a second, and a question to the store takes 2 s at most."""
SILENT_SECONDS: Final = 45.0
"""Two heartbeats of a process, and some more."""


def _of_file(path: Path, out: Output) -> None:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        age = time.time() - found["at"]
    except OSError as error:
        fail(f"not ready: there is no health file {path} ({error.strerror})", Exit.FAILED)
    except (ValueError, KeyError, TypeError):
        fail(f"{path} is no health file: `kew worker --health-file` writes one", Exit.USAGE)
    if age > OLD_SECONDS:
        fail(f"not live: {path} is {age:.0f} s old", Exit.FAILED)
    if out.as_json:
        out.json(found)
    if not found["ready"]:
        state = "not ready" if found["live"] else "not live"
        fail(f"{state}: {'; '.join(found['reasons'])}", Exit.FAILED)
    if not out.as_json:
        out.line(f"{found['process']} is ready")


@on_store
async def _of_store(session: Session, process: str | None) -> None:
    if process is None:
        health = await session.manager.health()
        if not health.ready:
            fail("; ".join(health.reasons), Exit.UNREACHABLE)
        if session.out.as_json:
            session.out.json(health.to_dict())
        else:
            session.out.line("the store answers")
        return
    known = await session.manager.processes()
    found = [one for one in known if process in (one.name, one.id)]
    if not found:
        meant = did_you_mean(process, [one.name for one in known])
        more = meant or "; `kew process ls` lists the processes"
        fail(f"there is no process {process!r}{more}", Exit.NOT_FOUND)
    latest = max(one.heartbeat_time for one in found)
    age = (datetime.now(UTC) - latest).total_seconds()
    if session.out.as_json:
        session.out.json_lines([one.to_dict() for one in found])
    if age > SILENT_SECONDS:
        fail(f"process {process} was last heard of {age:.0f} s ago", Exit.FAILED)
    if not session.out.as_json:
        session.out.line(f"{process} was last heard of {age:.0f} s ago")


@click.command()
@click.argument("process", required=False)
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Read what `kew worker --health-file PATH` wrote: whether that process can claim.",
)
@json_option
@store_options
def health(process: str | None, path: Path | None, **given: Any) -> None:
    """Say by the exit code whether a process works, or whether the store answers.

    With --file, the process itself has said less than 10 s ago that it can claim. With PROCESS, its
    last heartbeat in the store is less than 45 s old. With neither, the store answers.

    \b
    Exit codes:
      0    it does
      1    it doesn't
      2    wrong usage
      3    there is no such process
      4    the store can't be reached
    """
    if path is not None and process is not None:
        raise click.UsageError("give PROCESS or --file, not both")
    if path is not None:
        _of_file(path, Output(as_json=given["as_json"]))
    else:
        _of_store(process=process, **given)
