"""A run that can't be started is released at once: its lease is not kept, and doesn't just expire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kew.compat import override
from kew.simulation.faults import Fault
from kew.simulation.oracle import Oracle, Step

AT_ONCE: Final = 1.0  # seconds
HARMLESS: Final = frozenset({Fault.DEAF, Fault.UNSTARTABLE})


class Starting(Oracle):
    """Judged in runs without faults that keep a release from its store."""

    name = "starting"

    @override
    def judge(self, step: Step) -> Iterator[str]:
        facts = self.facts
        if not facts.unstarted or not facts.plan.faults <= HARMLESS:
            return
        for (task_id, lease), at in list(facts.unstarted.items()):
            task = facts.records.get(task_id)
            if task is None or task.lease != lease:
                del facts.unstarted[task_id, lease]
            elif step.at > at + AT_ONCE:
                yield f"{task_id} could not be started, but its lease is still held after {AT_ONCE:g} s"


ORACLE = Starting
