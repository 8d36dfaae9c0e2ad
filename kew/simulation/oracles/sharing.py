"""A queue's limit is shared: no process takes more than an equal part while others are starved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from kew.compat import override
from kew.domain.gates.fold import room
from kew.domain.gates.gate import Facts
from kew.domain.ordering import is_due
from kew.domain.rate import judged, read_logs, units_of
from kew.domain.rate import room as units_left
from kew.domain.task import Task
from kew.domain.view import QueueState
from kew.simulation.oracle import Oracle, Step
from kew.simulation.oracles.keys import is_kept_back


class Sharing(Oracle):
    """Starved processes are remembered, and get a part."""

    name = "sharing"

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.is_fresh_claim and not self._is_beyond_the_limit(step):  # that is for others to say
            yield from self._remembered(step)
            yield from self._shared(step)

    def _is_beyond_the_limit(self, step: Step) -> bool:
        return step.after is not None and len(step.leased) > step.after.settings.max_workers

    def _remembered(self, step: Step) -> Iterator[str]:
        assert step.request is not None
        assert step.grant is not None
        assert step.after is not None
        assert step.indexed is not None
        who = step.request.incarnation
        is_short = len(step.grant.tasks) < step.request.want
        is_full = len(step.leased) >= step.after.settings.max_workers
        if not is_short or not is_full or who in step.indexed.starved:
            return
        known = step.indexed.functions.get(who, ())
        ready = [
            task
            for task in step.waiting.values()
            if is_due(task, step.now)
            and task.call.function in known
            and not is_kept_back(step, task)
        ]
        if ready:
            yield f"{who} met the limit with {len(ready)} tasks ready for it, but isn't remembered as starved"

    def _shared(self, step: Step) -> Iterator[str]:
        assert step.request is not None
        assert step.grant is not None
        assert step.after is not None
        who, taken = step.request.incarnation, len(step.grant.tasks)
        others = {each: it.holds for each, it in step.starved_before.items() if each != who}
        if not others or not taken:
            return
        free = _free_before(step.after, step.grant.tasks, step.now, len(step.leased))
        all_of_it = step.request.holds + free + sum(others.values())
        processes = len(others) + 1
        if (step.request.holds + taken - 1) * processes >= all_of_it:
            yield f"{who} took {taken} of {free} places and holds {step.request.holds}, while {others} are starved"


def _free_before(after: QueueState, taken: Sequence[Task], now: int, held: int) -> int:
    """How many more tasks could start before the claim took these; a task uses one place, but its cost of each rate."""
    rates = after.settings.rates
    without = attrs.evolve(after, settings=attrs.evolve(after.settings, rates=()))
    places = room(Facts(state=without, now=now, held=held)) + len(taken)
    units = sum(units_of(task.call.cost, rates) for task in taken)
    logs = read_logs(after.gates.get("rate", ()), rates)
    left = (
        units_left(judged(log, rate, now), rate, now) + units
        for log, rate in zip(logs, rates, strict=True)
    )
    return min([places, *left])


ORACLE = Sharing
