"""Schedules whose tick is due and has not been submitted, and why: part of what needs attention in a queue."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from kew.app.attention import Attention, starting
from kew.app.ports import QueueStatus
from kew.app.scheduling.timetables import times_of
from kew.domain.draining import is_draining
from kew.domain.errors import TaskQueueError
from kew.domain.schedule import Overlap, StoredSchedule
from kew.domain.words import clock_text, lasting, listed

OVERDUE_MS: Final = 180_000
"""Longer than a process takes to learn of a schedule without a notification (two minutes)."""


def next_due(stored: StoredSchedule) -> int | None:
    """When its next tick is due; None: never, it is paused, or this process can't compute it."""
    if stored.paused_at:
        return None
    try:
        return times_of(stored.schedule).after(stored.after)
    except TaskQueueError:
        return None


def overdue_since(stored: StoredSchedule, now: int) -> int | None:
    """When the tick was due that should have been submitted by now; None: there is none."""
    due = next_due(stored)
    return due if due is not None and now - due > OVERDUE_MS else None


def overdue(status: QueueStatus, schedules: Sequence[StoredSchedule]) -> Iterator[Attention]:
    """What to say of a queue's schedules; `schedules` may have those of other queues too."""
    late = {
        each.schedule.name: (each, due)
        for each in schedules
        if each.schedule.queue == status.name
        and (due := overdue_since(each, status.now_ms)) is not None
    }
    if late and not status.workers:
        yield _unserved(status, {name: due for name, (_, due) in late.items()})
        return
    for stored, due in late.values():
        yield _late(status, stored, due)


def _unserved(status: QueueStatus, late: dict[str, int]) -> Attention:
    since = min(late.values())
    names = listed(sorted(late, key=late.__getitem__), len(late))
    one = len(late) == 1
    text = (
        f"no process works on the queue, so the ticks of {'schedule' if one else 'schedules'} {names} are not "
        f"submitted; {'it is' if one else 'the first is'} overdue since {clock_text(since)}"
    )
    return Attention("critical", "schedule_overdue", status.name, text, starting(status.name))


def _late(status: QueueStatus, stored: StoredSchedule, due: int) -> Attention:
    """A process could submit the tick; whatever keeps it from that."""
    name, action = shlex.quote(stored.schedule.name), ""
    text = f"schedule {stored.schedule.name} is overdue by {lasting(status.now_ms - due)}"
    settings = status.state.settings
    if is_draining(settings):
        text, action = f"{text}: the queue is draining", f"kew queue resume {status.name}"
    elif sum(status.waiting.values()) >= settings.max_size:
        text, action = f"{text}: the queue is full", f"kew queue show {status.name}"
    elif stored.schedule.overlap is Overlap.ONE and stored.last_task_id:
        text += f": its tick waits until task {stored.last_task_id} of the tick before has ended"
        action = f"kew why {shlex.quote(stored.last_task_id)}"
    else:
        text += ", although a process works on the queue: its log says why"
        action = f"kew process ls; or submit it by hand: kew schedule run {name}"
    return Attention("warning", "schedule_overdue", status.name, text, action)
