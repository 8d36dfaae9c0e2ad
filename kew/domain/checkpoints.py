"""What a task saves of its work while it runs, so that its next attempt can go on from there."""

from __future__ import annotations

from kew.domain.extending import holds
from kew.domain.queue import NOTHING, Change
from kew.domain.requests import LeaseRef, Word
from kew.domain.task import Checkpoint
from kew.domain.view import View


def save(view: View, ref: LeaseRef, number: int, data: bytes, now: int) -> tuple[Change, Word]:
    """Keep this in place of what the task saved before, under its live lease: DONE, or CANCEL if it is to stop.

    `number` grows within an attempt. SAME: this or a later one of the attempt is there. STALE: the lease is over.
    """
    task = view.find(ref.task_id)
    if task is None or not holds(view, task, ref, now):
        return NOTHING, Word.STALE
    before = task.checkpoint
    if before is not None and before.attempt == task.attempt and before.number >= number:
        return NOTHING, Word.SAME
    checkpoint = Checkpoint(attempt=task.attempt, number=number, size=len(data), data=data)
    word = Word.CANCEL if task.cancel_requested else Word.DONE
    return Change((task.moved(checkpoint=checkpoint),)), word
