"""The demo's summary. This module only formats: `Tally` counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from kew import QueuePriority
from kew.cli.drive import RETRIES
from kew.cli.folder import LARGE_BYTES, SMALL_BYTES
from kew.cli.screen import printable
from kew.cli.tally import Digested, Tally, average_wait
from kew.cli.words import volume

TOP = 3
DEAD_SHOWN = 8
WIDTH = 80
BESIDE_NAMES = 30  # columns of a line that a file's name doesn't get


@attrs.frozen(kw_only=True)
class Report:
    """A finished run: its tally, the queue's status, how long it took, and the store in words."""

    tally: Tally
    status: dict[str, Any]
    seconds: float
    store: str


def show(report: Report, console: Console) -> None:
    """Print the summary."""
    width = min(WIDTH, console.width)
    room = max(10, width - BESIDE_NAMES)
    parts: list[RenderableType] = [_headline(report), Text(), _totals(report)]
    tally = report.tally
    if tally.all_digested:
        parts += [Text(), _notable(tally, room)]
    if tally.retried or tally.dead:
        parts += [Text(), _trouble(tally, room)]
    parts += [Text(), _queue(report)]
    body = Group(*parts)
    if console.is_terminal:
        console.print(Panel(body, border_style="green", width=width, padding=(1, 2)))
    else:
        console.print(body)


def _headline(report: Report) -> Text:
    tally = report.tally
    if not tally.now and not tally.dead and tally.before:
        return Text(
            "Nothing to do: an earlier run has finished every file.\n"
            "Records are kept for 24 hours; --namespace NAME starts from scratch.",
            style="bold green",
        )
    text = Text(f"{files(len(tally.now))} digested in {seconds(report.seconds)}", "bold green")
    if tally.dead:
        text.append(f", {len(tally.dead):,} failed", "bold red")
    return text


def _totals(report: Report) -> Table:
    tally, table = report.tally, _pairs()
    size = sum(one.size for one in tally.now)
    if tally.before or tally.left or tally.tried_again:
        table.add_row("continued", _continued(tally))
    if tally.now:
        rate = f"{len(tally.now) / report.seconds:,.0f} files/s, {volume(size / report.seconds)}/s"
        table.add_row("rate", rate)
    everything = tally.all_digested
    lines = sum(one.lines for one in everything)
    table.add_row("lines", f"{lines:,}")
    table.add_row("bytes", f"{sum(one.size for one in everything):,}")
    if everything:
        table.add_row("fingerprint", f"{tally.fingerprint()}  [dim]of all names and digests[/]")
    return table


def _continued(tally: Tally) -> str:
    parts = [f"{len(tally.before):,} finished by an earlier run"]
    if tally.left:
        parts.append(
            f"{tally.left:,} unfinished" + (f" ({tally.held:,} running)" * bool(tally.held))
        )
    if tally.tried_again:
        parts.append(f"{tally.tried_again:,} replayed")
    return ", ".join(parts)


def _notable(tally: Tally, room: int) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", width=11)
    table.add_column(justify="right", no_wrap=True, width=8)
    table.add_column(no_wrap=True)
    everything = tally.all_digested
    largest = sorted(everything, key=lambda one: one.size, reverse=True)[:TOP]
    slowest = sorted(everything, key=lambda one: one.seconds, reverse=True)[:TOP]
    _rows(table, "largest", [(volume(one.size), tail(one.file.name, room)) for one in largest])
    _rows(table, "slowest", [(seconds(one.seconds), tail(one.file.name, room)) for one in slowest])
    return table


def _rows(table: Table, label: str, rows: Iterable[tuple[str, str]]) -> None:
    for figure, name in rows:
        table.add_row(label, figure, Text(name))
        label = ""


def _trouble(tally: Tally, room: int) -> RenderableType:
    retried = [task_id for task_id in tally.retried if task_id not in tally.dead]
    parts: list[RenderableType] = []
    if retried:
        parts.append(Text(f"{files(len(retried))} succeeded after a retry", "yellow"))
    if tally.dead:
        parts.append(Text(f"dead letters, after {RETRIES + 1} attempts:", "red"))
        parts += [_dead(name, error, room) for name, error in _first_dead(tally)]
        more = len(tally.dead) - DEAD_SHOWN
        if more > 0:
            parts.append(Text(f"  and {more:,} more", "dim"))
    return Group(*parts)


def _first_dead(tally: Tally) -> Sequence[tuple[str, str]]:
    found = sorted((file.name, error) for file, error in tally.dead.values())
    return found[:DEAD_SHOWN]


def _dead(name: str, error: str, room: int) -> Text:
    """The file on one line and the error on the next, without the path that the error repeats."""
    reason = printable(error.splitlines()[0] if error else "").split(": b")[0]
    return Text.assemble(f"  {tail(name, room)}\n", (f"    {reason[: room + 20]}", "dim"))


def _queue(report: Report) -> Table:
    tally, status, table = report.tally, report.status, _pairs()
    table.add_row("queue", Text(status["name"]))
    table.add_row("store", Text(report.store))
    table.add_row(
        "workers",
        f"at most {status['max_workers']} tasks at a time, over all processes "
        f"({plural(len(status['processes']), 'process', 'es')} in the last minute)",
    )
    if tally.now:
        table.add_row("mean wait", "  ".join(_waits(tally.now)))
    table.add_row(
        "state", f"{status['queued_tasks']} waiting, breaker {status['circuit_breaker_status']}"
    )
    return table


def _waits(digested: Sequence[Digested]) -> Iterable[str]:
    limits = {
        QueuePriority.HIGH: f"below {volume(SMALL_BYTES)}",
        QueuePriority.MEDIUM: f"below {volume(LARGE_BYTES)}",
        QueuePriority.LOW: "larger",
    }
    for priority, limit in limits.items():
        count, average = average_wait(digested, priority)
        if count:
            yield f"{limit} [bold]{seconds(average)}[/]"


def _pairs() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", width=11)
    table.add_column()
    return table


# --- numbers as words


def files(count: int) -> str:
    """ "1 file", "2,731 files"."""
    return plural(count, "file", "s")


def plural(count: int, one: str, ending: str) -> str:
    """ "1 process", "2 processes"."""
    return f"{count:,} {one}" + ("" if count == 1 else ending)


def seconds(value: float) -> str:
    """ "41 ms", "3.2 s", "2 min 5 s"."""
    if value < 0.0005:
        return "< 1 ms"
    if value < 0.0995:
        return f"{value * 1000:.0f} ms"
    if value < 99.95:
        return f"{value:.2g} s" if value < 0.995 else f"{value:.1f} s"
    return f"{value // 60:.0f} min {value % 60:.0f} s"


def tail(name: str, most: int) -> str:
    """The end of a long name, where names differ most."""
    return name if len(name) <= most else "…" + name[1 - most :]
