"""An end is final: only a requested replay makes a task wait again, once from each life, and never after a success."""

from __future__ import annotations

from collections.abc import Iterator

from kew.app.ports import Cancel, CancelAll, Empty, Replay, ReplayAll
from kew.compat import override
from kew.domain.errors import EXPIRED
from kew.domain.requests import LifeRef, Word
from kew.domain.task import Task, TaskStatus
from kew.simulation.oracle import Alteration, Oracle, Step

REPLAYABLE = (TaskStatus.FAILED, TaskStatus.CANCELLED)


class Finality(Oracle):
    """Ends, cancellations and replays."""

    name = "finality"
    judges = (Cancel,)

    @override
    def judge(self, step: Step) -> Iterator[str]:
        for one in step.alterations:
            if one.old is not None and one.new is not None and not one.is_created:
                yield from self._moved(step, one)
        if isinstance(step.operation, Cancel):
            yield from self._cancelled(step, step.operation.task_id)

    def _moved(self, step: Step, one: Alteration) -> Iterator[str]:
        old, new = one.old, one.new
        assert old is not None
        assert new is not None
        is_replay = _is_replayed(step, old)
        may_move = is_replay and old.status in REPLAYABLE
        if old.is_terminal and new.status is not old.status and not may_move:
            yield f"{old.id} was {old.status.value} and became {new.status.value}"
        if old.is_terminal and not is_replay and (old.result, old.error) != (new.result, new.error):
            yield f"{old.id} had ended, but its result or error changed"
        is_cancel = step.operation == Cancel(step.queue, old.id, old.life)
        may_cancel = is_cancel or _is_purge(step, old) or new.error.startswith(EXPIRED)
        if old.is_waiting and new.status is TaskStatus.CANCELLED and not may_cancel:
            yield f"{old.id} was cancelled by {step.operation.name}"
        if new.cancel_requested and not old.cancel_requested and not is_cancel:
            yield f"{old.id} is to be cancelled without a request"

    def _cancelled(self, step: Step, task_id: str) -> Iterator[str]:
        changed = {one.id: one.new for one in step.alterations if one.new is not None}
        task = changed.get(task_id)
        if step.reply is Word.DONE and (task is None or task.status is not TaskStatus.CANCELLED):
            yield f"{task_id} is not cancelled, but the answer says so"


def _is_purge(step: Step, old: Task) -> bool:
    """The operation cancels what waits, this life of the task among it."""
    match step.operation:
        case CancelAll(refs=refs):
            return LifeRef(old.id, old.life) in refs
        case _:
            return isinstance(step.operation, Empty)


def _is_replayed(step: Step, old: Task) -> bool:
    """The operation is a replay of this life of the task."""
    match step.operation:
        case Replay(task_id=task_id, life=life):
            return (task_id, life) == (old.id, old.life)
        case ReplayAll(refs=refs):
            return LifeRef(old.id, old.life) in refs
        case _:
            return False


ORACLE = Finality
