"""No window of the store's clock has more starts of a key than its rate allows. The oracle notes each start itself.

After a step back of the clock, what lies ahead by a window or more counts no longer, nor what started more than a
window before the step.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from kew.compat import override
from kew.domain.keys import key_of
from kew.domain.rate import Setting, units_of
from kew.domain.task import Task
from kew.simulation.facts import Facts
from kew.simulation.oracle import Oracle, Step
from kew.simulation.oracles.keys import rates_in

SLACK_MS: Final = 1  # of the spacing: a millisecond may be rounded off
Starts = list[tuple[int, int]]  # instants and units, in order


class KeyRate(Oracle):
    """Every start counts while its queue has rates of keys."""

    name = "key_rate"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._starts: dict[tuple[str, str, int], Starts] = defaultdict(list)  # for each window
        self._rates: dict[tuple[str, str], tuple[Setting, ...]] = {}
        self._latest: dict[str, int] = {}

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.after is None or step.indexed is None:
            return
        if step.now < self._latest.get(step.queue, 0):
            self._step_back(step)
        self._latest[step.queue] = step.now
        for place in [each for each in self._rates if each[0] == step.queue]:
            if (
                rates_in(step, place[1]) != self._rates[place]
            ):  # what started before, the store may have forgotten
                for _, per, _ in self._rates.pop(place):
                    self._starts.pop((*place, per), None)
        granted = [one.new for one in step.alterations if one.is_granted and one.new is not None]
        for task in granted:
            key = key_of(task.call)
            if key and (rates := rates_in(step, key)):
                self._rates[step.queue, key] = rates
                yield from self._started(step, task, rates)

    @override
    def forgot(self) -> None:
        self._starts.clear()
        self._rates.clear()

    def _step_back(self, step: Step) -> None:
        for (queue, _, per), starts in self._starts.items():
            if queue == step.queue:
                del starts[: bisect_left(starts, (self._latest[queue] - per + 1,))]
                del starts[bisect_left(starts, (step.now + per,)) :]

    def _started(self, step: Step, task: Task, rates: tuple[Setting, ...]) -> Iterator[str]:
        key, units = key_of(task.call), units_of(task.call.cost, rates)
        for count, per, burst in rates:
            starts = self._starts[step.queue, key, per]
            starts.insert(bisect_left(starts, (step.now + 1,)), (step.now, units))
            for first, _ in starts[bisect_left(starts, (step.now - per + 1,)) :]:
                inside = _units(starts, first, first + per)
                if first <= step.now and inside > count:
                    yield f"{inside} units of the key {key!r} started within {per} ms; its rate allows {count}"
                    return
            if burst and _units(starts, step.now, step.now + SLACK_MS) > burst:
                yield f"more than {burst} units of the key {key!r} started at once"


def _units(starts: Starts, begin: int, end: int) -> int:
    return sum(
        units for _, units in starts[bisect_left(starts, (begin,)) : bisect_left(starts, (end,))]
    )


ORACLE = KeyRate
