"""No window has more starts than a rate allows, and while work waits, starts are no fewer than it allows.

The oracle notes each start itself. Beside the store's clock it keeps one that stands still while that clock is set
back, and then goes on with it: by this one, what was started before a step back counts from the step on.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from kew.compat import override
from kew.domain.breaker import BreakerState
from kew.domain.ordering import order_key
from kew.domain.rate import Setting, units_of
from kew.domain.requests import holder_of
from kew.domain.task import Task, can_run
from kew.simulation.facts import Facts
from kew.simulation.oracle import Oracle, Step
from kew.simulation.oracles.keys import is_kept_back

WINDOWS: Final = 10
LEAST: Final = 0.95  # of what a rate allows, over so many windows


@attrs.define
class Starts:
    """The starts under one rate of a queue. `onward` is the clock that never goes back.

    `by_clock` are the store's instants: of what started more than a window before a step back, none are kept.
    """

    setting: Setting
    latest: int = 0
    onward: int = 0
    by_clock: list[int] = attrs.field(factory=list)
    by_onward: list[int] = attrs.field(factory=list)

    def advance(self, now: int) -> None:
        """The store's clock is at `now`."""
        if now < self.latest:
            _, per, _ = self.setting
            del self.by_clock[: bisect_left(self.by_clock, self.latest - per)]
        elif self.latest:
            self.onward += now - self.latest
        self.latest = now

    def add(self, count: int) -> None:
        """So many have just started."""
        for _ in range(count):
            insort(self.by_clock, self.latest)
        self.by_onward += [self.onward] * count

    def since(self, onward: int) -> int:
        """How many started after this instant."""
        return len(self.by_onward) - bisect_left(self.by_onward, onward + 1)

    def exceeded(self) -> Iterator[str]:
        """By each clock, no window that the latest start is in has too many."""
        count, per, burst = self.setting
        inside = self.since(self.onward - per)
        if inside > count:
            yield f"{inside} units started within {per} ms; the rate allows {count}"
        near = self.by_clock[bisect_left(self.by_clock, self.latest - per + 1) :]
        for n in range(bisect_left(near, self.latest + 1)):
            inside = bisect_left(near, near[n] + per) - n
            if inside > count:
                yield f"{inside} units started within {per} ms of the store's clock; the rate allows {count}"
                return
        if burst:
            yield from self._unspaced()

    def _unspaced(self) -> Iterator[str]:
        """Since each start, no more than a burst and what its spacing allows. A millisecond may be rounded off."""
        count, per, burst = self.setting
        for first in self.by_onward[-count - 1 :]:
            found, lasted = self.since(first - 1), self.onward - first
            if (found - burst) * per > (lasted + 1) * count:
                yield f"{found} tasks started within {lasted} ms; {burst} may, then one each {per / count:g} ms"
                return

    def unused(self, waiting_since: int) -> Iterator[str]:
        """Work has been waiting for nothing but the rate since then: ten windows had as many starts as they may."""
        count, per, _ = self.setting
        lasted = round(WINDOWS * per / LEAST)
        found = self.since(self.onward - lasted)
        if self.onward - waiting_since >= lasted and found < WINDOWS * count:
            yield f"{found} tasks started in {lasted} ms while work was waiting; the rate allows {count} in {per} ms"


class Rate(Oracle):
    """Every start counts while its queue has the rate: lost ones and those of other processes, too."""

    name = "rate"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._starts: dict[str, list[Starts]] = {}
        self._waiting_since: dict[str, int] = {}  # by queue, as `onward`
        self._leased: dict[str, Mapping[str, Task]] = {}

    @override
    def judge(self, step: Step) -> Iterator[str]:
        self._leased[step.queue] = step.leased
        if step.after is None or not step.after.settings.rates:
            self._starts.pop(step.queue, None)
            return
        rates = step.after.settings.rates
        known = self._starts.get(step.queue, [])
        if [starts.setting for starts in known] != list(rates):
            known = self._starts[step.queue] = [Starts(setting) for setting in rates]
        granted = sum(
            units_of(one.new.call.cost, rates)
            for one in step.alterations
            if one.is_granted and one.new is not None
        )
        for starts in known:
            starts.advance(step.now)
            if granted:
                starts.add(granted)
                yield from starts.exceeded()
        if self.facts.plan.is_calm:
            yield from self._used_up(step, known)

    @override
    def forgot(self) -> None:
        self._starts.clear()

    def _used_up(self, step: Step, known: Sequence[Starts]) -> Iterator[str]:
        slowest = min(known, key=lambda starts: starts.setting[0] / starts.setting[1])
        if _waits_for_the_rate_alone(step, self._leased.values()):
            since = self._waiting_since.setdefault(step.queue, slowest.onward)
            yield from slowest.unused(since)
        else:
            self._waiting_since.pop(step.queue, None)


def _waits_for_the_rate_alone(step: Step, leased: Iterable[Mapping[str, Task]]) -> bool:
    """A task is due, and a process that can run the first one runs nothing at all."""
    assert step.after is not None
    assert step.indexed is not None
    due = [
        task
        for task in step.waiting.values()
        if task.ready_at <= step.now and not is_kept_back(step, task)
    ]
    if max((task.call.cost for task in due), default=1) > 1:
        return False  # what a costly task waits for is left unused
    if not due or step.after.paused or len(step.leased) >= step.after.settings.max_workers:
        return False
    is_snoozed = step.after.gates.get("snoozed", (0, 0))[0] > step.now
    if is_snoozed or step.after.breaker.state is not BreakerState.CLOSED:
        return False
    function = min(due, key=order_key).call.function
    busy = {holder_of(task.lease) for tasks in leased for task in tasks.values()}
    functions = step.indexed.functions
    return any(
        can_run(who, functions.get(who, ()), function)
        for who, until in step.presence.items()
        if until > step.now and who not in busy
    )


ORACLE = Rate
