"""Extending leases, and keeping what their tasks report meanwhile."""

from __future__ import annotations

import attrs

from kew.domain.progress import ProgressReport, progress_after
from kew.domain.queue import NOTHING, Change
from kew.domain.requests import LeaseRef, Word
from kew.domain.task import Task
from kew.domain.view import View


def holds(view: View, task: Task, ref: LeaseRef, now: int) -> bool:
    """Whether this is the current lease of the queue's task, and has not ended."""
    return task.lease == ref.lease and task.lease_until > now and task.queue == view.name


def extend(
    view: View, ref: LeaseRef, lease_ms: int, now: int, report: ProgressReport | None = None
) -> tuple[Change, Word]:
    """Prolong a live lease to `lease_ms` from now; never revive an ended one. CANCEL: and the task is to stop.

    `report` is kept as the task's progress.
    """
    task = view.find(ref.task_id)
    if task is None or not holds(view, task, ref, now):
        return NOTHING, Word.STALE
    word = Word.CANCEL if task.cancel_requested else Word.DONE
    state = None
    if lease_ms > view.state.longest_lease_ms:
        state = attrs.evolve(view.state, longest_lease_ms=lease_ms)
    after = task.moved(lease_until=now + lease_ms)
    if report is not None:
        after = after.moved(progress=progress_after(task, report, now))
    return Change((after,), state), word
