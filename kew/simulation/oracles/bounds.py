"""Attempts are bounded, and the bounds are the queue's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from kew.compat import override
from kew.domain.task import TaskStatus
from kew.simulation.facts import Facts
from kew.simulation.oracle import Alteration, Oracle, Step


class Bounds(Oracle):
    """Failures up to the retries, losses up to `max_deliveries`, each loss counted."""

    name = "bounds"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._most: dict[str, int] = defaultdict(int)

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.after is None:
            return
        settings = step.after.settings
        most = self._most[step.queue] = max(self._most[step.queue], settings.max_retries)
        for one in step.alterations:
            if one.new is None or one.old is None:
                continue
            asked = self.facts.asked.get(one.id)
            retries = most if asked is None or asked.max_retries is None else asked.max_retries
            if one.new.failures > retries + 1:
                yield f"{one.id} failed {one.new.failures} times with {retries} retries"
            yield from self._lost(step, one, settings.max_deliveries)

    def _lost(self, step: Step, one: Alteration, most: int) -> Iterator[str]:
        old, new = one.old, one.new
        assert old is not None
        assert new is not None
        if new.losses > most + 1:
            yield f"{one.id} was lost {new.losses} times; the limit is {most}"
        is_settled = any(task_id == old.id for task_id, _ in step.settled)
        is_lost = bool(one.ended_lease) and not is_settled
        if not is_lost or one.is_created:
            return
        may_fail = old.call.at_most_once or bool(old.call.pinned_to) or old.losses >= most
        if new.status is TaskStatus.FAILED and not may_fail:
            yield f"{one.id} failed after {new.losses} losses; the limit is {most}"
        if new.is_waiting or new.status is TaskStatus.PROCESSING:
            if new.losses != old.losses + 1:
                yield f"{one.id} was lost, but its losses went from {old.losses} to {new.losses}"
            if new.is_waiting and new.ready_at != old.ready_at:
                yield f"{one.id} was lost, and its due time moved by {new.ready_at - old.ready_at:+} ms"
            if old.call.at_most_once:
                yield f"{one.id} is at_most_once and was lost, but will run again"


ORACLE = Bounds
