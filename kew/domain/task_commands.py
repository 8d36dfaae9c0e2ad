"""What people do to single tasks: each a function from a view of the queue to the change wanted and the answer."""

from __future__ import annotations

import attrs

from kew.domain.draining import is_draining
from kew.domain.events import CancelRequested, Replayed
from kew.domain.gates import fold as gates
from kew.domain.lifecycle import Effect, step
from kew.domain.queue import NOTHING, Change
from kew.domain.requests import Word
from kew.domain.task import Life, Task, TaskStatus, is_absent
from kew.domain.unique import holds, unique_key
from kew.domain.view import View


def cancel(view: View, task_id: str, life: Life | None, now: int) -> tuple[Change, Word]:
    """Cancel a waiting task (DONE), or ask the holder of a running one to stop (CANCEL); in this `life` of it alone.

    Here and below, None: whichever life it is in.
    """
    task = _named(view, task_id, life, now)
    if task is None:
        return NOTHING, Word.MISSING
    if _is_past(life, task):
        return NOTHING, Word.ENDED
    if task.is_terminal:
        return NOTHING, Word.SAME if task.status is TaskStatus.CANCELLED else Word.ENDED
    after, effect = step(task, CancelRequested(), now, view.state.settings)
    state = gates.ended(view.state, effect, task.epoch, now)
    return Change((after,), state), Word.CANCEL if effect is Effect.NOTIFY_HOLDER else Word.DONE


def cancel_waiting(view: View, task_id: str, life: Life, now: int) -> tuple[Change, Word]:
    """The same for a task that waits; ILLEGAL: it runs, and goes on."""
    task = _named(view, task_id, life, now)
    if task is not None and task.lease and not _is_past(life, task):
        return NOTHING, Word.ILLEGAL
    return cancel(view, task_id, life, now)


def hasten(view: View, task_id: str, life: Life | None, now: int) -> tuple[Change, Word]:
    """Let a waiting task be due now (DONE). SAME: it is due, or runs. ENDED: it has ended, or was replayed since.

    Whatever else holds it back goes on doing so, such as a pause or a limit.
    """
    task = _named(view, task_id, life, now)
    if task is None:
        return NOTHING, Word.MISSING
    if _is_past(life, task) or task.is_terminal:
        return NOTHING, Word.ENDED
    if not task.is_waiting or task.ready_at <= now:
        return NOTHING, Word.SAME
    return Change((task.moved(ready_at=now),)), Word.DONE


def replay(
    view: View,
    task_id: str,
    life: Life | None,
    now: int,
    after_ms: int = 0,
    payload: bytes | None = None,
    key: str | None = None,
) -> tuple[Change, Word]:
    """Make a FAILED or CANCELLED task wait again, for `after_ms` at least; once from each `life`, else SAME.

    Its failures and losses are forgotten. `payload` replaces its own, and `key` with it, and removes its checkpoint.
    DRAINING: the queue accepts nothing. HELD: it would hold its unique key again, which another task holds by now.
    """
    task = _named(view, task_id, life, now)
    if task is None:
        return NOTHING, Word.MISSING
    if _is_past(life, task):
        return NOTHING, Word.SAME
    if task.status in (TaskStatus.FAILED, TaskStatus.CANCELLED):
        if is_draining(view.state.settings):
            return NOTHING, Word.DRAINING
        if payload is not None:
            new_key = task.call.key if key is None else key
            call = attrs.evolve(task.call, payload=payload, key=new_key)
            task = task.moved(call=call, checkpoint=None)  # it was of other arguments
        after, _ = step(task, Replayed(after_ms), now, view.state.settings)
        if after.call.unique and _is_held_by_another(view, after, now):
            return NOTHING, Word.HELD
        return Change((after,)), Word.DONE
    return NOTHING, Word.ILLEGAL if task.status is TaskStatus.COMPLETED else Word.SAME


def _is_held_by_another(view: View, task: Task, now: int) -> bool:
    holder = view.holder(unique_key(task.call.unique).key, now) if holds(task, now) else None
    return holder is not None and holder.id != task.id


def forget(view: View, task_id: str, life: Life, now: int) -> tuple[Task | None, Word]:
    """The ended task to remove, in this `life` alone; None: there is none. ILLEGAL: it has not ended."""
    task = _named(view, task_id, life, now)
    if task is None:
        return None, Word.MISSING
    if _is_past(life, task):
        return None, Word.SAME
    return (task, Word.DONE) if task.is_terminal else (None, Word.ILLEGAL)


def _is_past(life: Life | None, task: Task) -> bool:
    """The task was replayed since, by this very request or another."""
    return life is not None and life.replays != task.replays


def _named(view: View, task_id: str, life: Life | None, now: int) -> Task | None:
    task = view.find(task_id)
    if task is None or is_absent(task, now) or task.queue != view.name:
        return None
    return task if life is None or task.ticket == life.ticket else None
