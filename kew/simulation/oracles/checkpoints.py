"""An attempt begins with the last checkpoint of its task, and nothing that a stale lease reports or saves is kept."""

from __future__ import annotations

from collections.abc import Iterator

from kew.app.ports import Extend, Replay, SaveCheckpoint
from kew.compat import override
from kew.domain.requests import LeaseRef, Word
from kew.domain.task import Task, TaskStatus
from kew.simulation.facts import Facts
from kew.simulation.oracle import Alteration, Oracle, Step

Saved = tuple[int, int, bytes]  # attempt, number and data
GONE = (TaskStatus.COMPLETED, TaskStatus.CANCELLED)


class Checkpoints(Oracle):
    """It keeps what was saved itself, from the operations and the leases that were live then."""

    name = "checkpoints"
    judges = (SaveCheckpoint,)

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._saved: dict[str, Saved] = {}

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if isinstance(step.operation, SaveCheckpoint):
            yield from self._save(step, step.operation)
        for one in step.alterations:
            yield from self._progress(step, one)
            yield from self._kept(step, one)

    def _save(self, step: Step, operation: SaveCheckpoint) -> Iterator[str]:
        task = _holder(step, operation.ref)
        if (task is None) != (step.reply is Word.STALE):
            lease = "a stale lease" if task is None else "its lease"
            yield f"{operation.ref.task_id} saved under {lease}, and the answer was {step.reply}"
        if task is None:
            return
        last = self._saved.get(task.id)
        if last is None or last[:2] < (task.attempt, operation.number):
            self._saved[task.id] = (task.attempt, operation.number, operation.data)

    def _kept(self, step: Step, one: Alteration) -> Iterator[str]:
        new = one.new
        is_other_call = isinstance(step.operation, Replay) and step.operation.payload is not None
        if new is None or one.is_created or new.status in GONE or is_other_call:
            self._saved.pop(one.id, None)
            return
        if self.facts.has_forgotten and one.id not in self._saved and new.checkpoint is not None:
            kept = new.checkpoint
            self._saved[one.id] = (kept.attempt, kept.number, kept.data)
        saved = self._saved.get(one.id)
        found = new.checkpoint and (
            new.checkpoint.attempt,
            new.checkpoint.number,
            new.checkpoint.data,
        )
        if found != saved:
            what = "begins with" if one.is_granted else "has"
            yield f"{one.id} {what} the checkpoint {found}, and saved {saved} last"

    def _progress(self, step: Step, one: Alteration) -> Iterator[str]:
        """Progress comes with an extension of a live lease, and goes forward."""
        before = one.old.progress if one.old is not None and not one.is_created else None
        after = one.new.progress if one.new is not None else None
        if after is None or after == before:
            return
        assert one.old is not None
        lease = LeaseRef(one.id, one.old.lease)
        is_reported = isinstance(step.operation, Extend) and lease in step.operation.refs
        if not is_reported or _holder(step, lease) is None or after.attempt != one.old.attempt:
            yield f"{one.id} shows progress that no live attempt reported: {after}"
        elif before is not None and (before.attempt, before.number) > (after.attempt, after.number):
            yield f"{one.id} shows the earlier progress {after} after {before}"

    @override
    def forgot(self) -> None:
        self._saved.clear()


def _holder(step: Step, ref: LeaseRef) -> Task | None:
    """The task that is under this lease, which has not ended."""
    task = step.leased_before.get(ref.task_id)
    is_live = task is not None and task.lease == ref.lease and task.lease_until > step.now
    return task if is_live else None


ORACLE = Checkpoints
