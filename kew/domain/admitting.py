"""Whether a group of submissions may be stored, and the records that they become."""

from __future__ import annotations

from collections.abc import Sequence

from kew.domain.draining import is_draining
from kew.domain.key_limits import limits_of, rates_of, size_of
from kew.domain.keys import key_of
from kew.domain.rate import units_of
from kew.domain.requests import GroupOutcome, Word
from kew.domain.task import Submission, Task, TaskStatus, is_absent
from kew.domain.view import View


def refused(view: View, calls: Sequence[Submission], now: int) -> GroupOutcome | None:
    """Why these can't be stored together; None: they can."""
    settings = view.state.settings
    limits = view.key_limits
    has_rates = settings.rates or settings.key_rate or limits
    if has_rates and (costly := _too_costly(view, calls, now)):
        return GroupOutcome(Word.COSTLY, costly)
    if view.waiting() + len(calls) > settings.max_size:
        return GroupOutcome(Word.DRAINING if is_draining(settings) else Word.FULL)
    if (settings.key_size or limits) and (placeless := _without_place(view, calls, now)):
        return GroupOutcome(Word.KEY_FULL, placeless)
    if late := next((call.id for call in calls if _is_late(call, now)), ""):
        return GroupOutcome(Word.LATE, late)
    return None


def nonce_of(view: View, task_id: str, now: int) -> str | None:
    """The nonce under which the id is in use; None: it is not."""
    known = view.find(task_id)
    return None if known is None or is_absent(known, now) else known.call.nonce


def _is_late(call: Submission, now: int) -> bool:
    """It would expire before the instant at which a person wants it to be due."""
    return bool(call.start_by_ms) and (call.due_at or 0) - now >= call.start_by_ms


def _without_place(view: View, calls: Sequence[Submission], now: int) -> str:
    """The id of the first task whose key has no place left; "": all have one."""
    left: dict[str, int] = {}
    for call in calls:
        key = key_of(call)
        size = size_of(view.state.settings, limits_of(view.key_limits, key, now)) if key else 0
        if not size:
            continue
        if key not in left:
            left[key] = size - view.waiting_of(key)
        if left[key] <= 0:
            return call.id
        left[key] -= 1
    return ""


def _too_costly(view: View, calls: Sequence[Submission], now: int) -> str:
    """The id of the first task that costs more than a rate can ever give; "": there is none."""
    settings = view.state.settings
    for call in calls if any(one.cost > 1 for one in calls) else ():
        key, rates = key_of(call), settings.rates
        if key:
            rates = (*rates, *rates_of(settings, limits_of(view.key_limits, key, now)))
        if units_of(call.cost, rates) < call.cost:
            return call.id
    return ""


def stored(view: View, call: Submission, ticket: int, now: int) -> Task:
    due = call.due_at if call.due_at is not None else now + call.delay_ms
    return Task(
        call=call,
        queue=view.name,
        status=TaskStatus.QUEUED,
        ready_at=max(due, now),
        ticket=ticket,
        queued_at=now,
    )
