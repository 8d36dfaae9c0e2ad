"""If nothing goes wrong, nothing has to be repaired: no lease ends, nothing fails that shouldn't, nothing waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kew.app.ports import Extend, Settle, Submit
from kew.compat import override
from kew.domain.requests import Word
from kew.domain.task import Task, TaskStatus
from kew.simulation.oracle import Oracle, Step


class Calm(Oracle):
    """The stricter rules of runs without any fault."""

    name = "calm"
    judges = (Extend, Settle, Submit)

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if not self.facts.plan.is_calm:
            return
        for one in step.alterations:
            old, new = one.old, one.new
            if old is not None and one.ended_lease and (old.id, old.lease) not in step.settled:
                yield f"{old.id} was lost"
            asked = self.facts.asked.get(one.id)
            may_fail = asked is None or "failed" in asked.ends
            if new is not None and new.status is TaskStatus.FAILED and not may_fail:
                yield f"{new.id} failed: {new.error}"
        for settlement, outcome in step.settled.values():
            if outcome.word is Word.STALE:
                yield f"{settlement.task_id}: an outcome came too late"
        if isinstance(step.operation, Extend):
            yield from self._extended(step, step.operation)

    def _extended(self, step: Step, extend: Extend) -> Iterator[str]:
        """An extension may cross the settlement of its lease on the way, and nothing else."""
        for ref, word in zip(extend.refs, step.reply, strict=True):
            task = step.indexed.find(ref.task_id) if step.indexed else None
            was_settled = task is not None and task.settled.startswith(f"{ref.lease}:")
            if word is Word.STALE and not was_settled:
                yield f"{ref.task_id}: its lease could not be extended"

    @override
    def at_end(self, records: Mapping[str, Task]) -> Iterator[str]:
        if not self.facts.plan.is_calm:
            return
        for task in records.values():
            asked = self.facts.asked.get(task.id)
            if asked is not None and task.status.value not in asked.ends:
                yield f"{task.id} ended as {task.status.value}, not as {sorted(asked.ends)}"


ORACLE = Calm
