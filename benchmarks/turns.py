"""The same drain by several programs in turns: what a feature costs, as a share of the plain drain."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from statistics import median
from typing import Any, Final

from benchmarks.driver import Program, running
from benchmarks.figure import Measure, Run, Values
from benchmarks.server import fresh_server

COUNT, TURNS = 10_000, 5
PLAIN: Final = "plain"
Kinds = Mapping[str, Mapping[str, Any]]
"""What a program's queue is opened with, by the kind of its drain; PLAIN is one of them."""


def drained(run: Run, kinds: Kinds) -> Values:
    """The median rate of each kind, and its share of the plain one."""
    count = run.count(COUNT)
    piece = count * 9 // 10
    with contextlib.ExitStack() as stack:
        programs = {kind: _opened(run, stack, options) for kind, options in kinds.items()}
        rates: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(TURNS):
            for kind, program in programs.items():
                program.ask("fill_backlog", count=count)
                rates[kind].append(piece / program.ask("drain_piece", count=piece)["seconds"])
                program.ask("clean")
    found = {kind: median(values) for kind, values in rates.items()}
    shares = {f"{kind}_share": 100 * found[kind] / found[PLAIN] for kind in kinds if kind != PLAIN}
    return {**found, **shares}


def _opened(run: Run, stack: contextlib.ExitStack, options: Mapping[str, Any]) -> Program:
    server = stack.enter_context(fresh_server())
    program = stack.enter_context(running(run.contender, "kew_more.py"))
    program.ask("open_queue", url=server.url, **options)
    return program


def measures(titles: Mapping[str, str]) -> tuple[Measure, ...]:
    """The rates of the kinds with these titles ("with a rate"), and their shares of the plain drain."""
    rates = (
        Measure(kind, f"drain {title}", "/s", more_is_better=True) for kind, title in titles.items()
    )
    shares = (
        Measure(
            f"{kind}_share", f"{title}, as a share of the plain drain", "%", more_is_better=True
        )
        for kind, title in titles.items()
        if kind != PLAIN
    )
    return (*rates, *shares)
