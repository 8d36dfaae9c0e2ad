"""Every queue is sound at every moment, and no step does what no step may do."""

from __future__ import annotations

from collections.abc import Iterator

from kew.app.ports import Purge
from kew.compat import override
from kew.domain.invariants import between, violations
from kew.domain.snapshot import Snapshot
from kew.simulation.oracle import Oracle, Step


class Soundness(Oracle):
    """The domain's own invariants, on the tasks that the step touched and on all that are leased."""

    name = "soundness"

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.before is None or step.after is None or isinstance(step.operation, Purge):
            return
        if not step.alterations and step.before is step.after:
            return
        touched = step.alterations
        old = {one.id: one.old for one in touched if one.old is not None}
        new = {one.id: one.new for one in touched if one.new is not None}
        before = Snapshot(name=step.queue, state=step.before, tasks={**step.leased_before, **old})
        after = Snapshot(name=step.queue, state=step.after, tasks={**step.leased, **new})
        yield from violations(after)
        yield from between(before, after)


ORACLE = Soundness
