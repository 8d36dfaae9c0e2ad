"""What a figure is: the measures that it yields, who takes part, and how one run goes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import attrs

from benchmarks.contenders import QUEUES, Contender
from benchmarks.driver import Program, running
from benchmarks.server import Server, fresh_server


@attrs.frozen
class Measure:
    """One number of a figure. `digits` after the point in tables."""

    name: str
    title: str
    unit: str = ""
    more_is_better: bool = False
    digits: int = 0


@attrs.frozen(kw_only=True)
class Run:
    """One contender in one round."""

    contender: Contender
    scale: float = 1.0

    def count(self, full: int) -> int:
        """So many, or fewer in a quick run."""
        return max(20, int(full * self.scale))

    @contextlib.contextmanager
    def opened(self, *, works: bool) -> Iterator[tuple[Server, Program]]:
        """A fresh server and the contender's program on it, warm, with or without a worker."""
        with fresh_server() as server, running(self.contender) as program:
            program.ask("open", url=server.url, works=works)
            yield server, program


Values = dict[str, float]


@attrs.frozen(kw_only=True)
class Figure:
    """`run` measures one contender once. `together`, where there is one, measures all of them at the same time."""

    name: str
    title: str
    measures: tuple[Measure, ...]
    run: Callable[[Run], Values] | None = None
    together: Callable[[Sequence[Run]], dict[str, Values]] | None = None
    takes: tuple[str, ...] = QUEUES
    rounds: int = 3


def rate(count: int, answer: dict[str, float]) -> float:
    """How many in a second."""
    return count / answer["seconds"]


def rate_of_waves(count: int, answers: Sequence[dict[str, float]]) -> float:
    """How many in a second, over waves of so many each in one process."""
    return count * len(answers) / sum(answer["seconds"] for answer in answers)
