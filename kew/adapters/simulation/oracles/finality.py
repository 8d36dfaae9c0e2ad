"""An end is final: only a replay, named and asked for, puts a task back, once from each life; never a success."""

from __future__ import annotations

from collections.abc import Iterator

from kew.adapters.simulation.oracle import Alteration, Oracle, Step
from kew.compat import override
from kew.domain.requests import Word
from kew.domain.task import TaskStatus

REPLAYABLE = (TaskStatus.FAILED, TaskStatus.CANCELLED)


class Finality(Oracle):
    """Ends, cancellations and replays."""

    name = "finality"

    @override
    def judge(self, step: Step) -> Iterator[str]:
        for one in step.alterations:
            if one.old is not None and one.new is not None and not one.is_created:
                yield from self._moved(step, one)
        if step.operation == "cancel":
            yield from self._cancelled(step)

    def _moved(self, step: Step, one: Alteration) -> Iterator[str]:
        old, new = one.old, one.new
        assert old is not None
        assert new is not None
        is_replay = step.operation == "replay" and step.args[1:] == (old.id, old.life)
        may_move = is_replay and old.status in REPLAYABLE
        if old.is_terminal and new.status is not old.status and not may_move:
            yield f"{old.id} was {old.status.value} and became {new.status.value}"
        if old.is_terminal and not is_replay and (old.result, old.error) != (new.result, new.error):
            yield f"{old.id} ended, and its result or error changed"
        is_cancel = step.operation == "cancel" and step.args[1:] == (old.id, old.life)
        if old.is_waiting and new.status is TaskStatus.CANCELLED and not is_cancel:
            yield f"{old.id} was cancelled by {step.operation}"
        if new.cancel_requested and not old.cancel_requested and not is_cancel:
            yield f"{old.id} is to be cancelled, which nobody asked for"

    def _cancelled(self, step: Step) -> Iterator[str]:
        changed = {one.id: one.new for one in step.alterations if one.new is not None}
        task = changed.get(step.args[1])
        if step.reply is Word.DONE and (task is None or task.status is not TaskStatus.CANCELLED):
            yield f"{step.args[1]} was answered as cancelled, and is not"


ORACLE = Finality
