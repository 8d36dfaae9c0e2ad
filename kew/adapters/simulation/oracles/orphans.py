"""A closure's task fails only once the one process that could run it has gone."""

from __future__ import annotations

from collections.abc import Iterator

from kew.adapters.simulation.oracle import Oracle, Step
from kew.compat import override
from kew.domain.task import TaskStatus


class Orphans(Oracle):
    """What maintenance gives up."""

    name = "orphans"

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.operation != "sweep":
            return
        for one in step.alterations:
            old, new = one.old, one.new
            if old is None or new is None or not old.is_waiting:
                continue
            if new.status is TaskStatus.FAILED:
                left = step.presence.get(new.call.pinned_to, 0) - step.now
                if not new.call.pinned_to or left > 0:
                    yield f"{new.id} was given up, and its process is there for another {left} ms"


ORACLE = Orphans
