"""Schedules of the memory store, and their ticks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from kew.adapters.memory.inside import Inside
from kew.app.notices import SettingsChanged
from kew.app.ports import (
    ListedSchedules,
    ListSchedules,
    Operation,
    PutSchedule,
    SteerSchedule,
    Tick,
    TickAnswer,
)
from kew.domain import schedule as rules
from kew.domain.requests import Group, Word
from kew.domain.schedule import ScheduleVerb


async def put_schedule(store: Inside, operation: PutSchedule) -> Word:
    schedules, schedule = store.namespace.schedules, operation.schedule
    after, word = rules.put(schedules.get(schedule.name), schedule, operation.edition, store._now())
    if word is Word.DONE:
        schedules[schedule.name] = after
        _notify(store, operation.queue)
    return word


async def steer_schedule(store: Inside, operation: SteerSchedule) -> Word:
    schedules, name, now = store.namespace.schedules, operation.schedule, store._now()
    known = schedules.get(name)
    if known is None:
        return Word.MISSING
    word = Word.DONE
    match operation.verb:
        case ScheduleVerb.REMOVE:
            del schedules[name]
        case ScheduleVerb.PAUSE:
            schedules[name], word = rules.pause(known, operation.note, now)
        case ScheduleVerb.RESUME:
            schedules[name], word = rules.resume(known, now)
    if word is Word.DONE:
        _notify(store, operation.queue)
    return word


def _notify(store: Inside, queue: str) -> None:
    known = store.namespace.queues.get(queue)
    for incarnation in known.present(store.namespace.last_ms) if known else ():
        store.namespace.hub.notify(incarnation, SettingsChanged(queue))


async def list_schedules(store: Inside, operation: ListSchedules) -> ListedSchedules:
    found = sorted(store.namespace.schedules.items())
    return ListedSchedules(now_ms=store._now(), schedules=[each for _, each in found])


async def tick(store: Inside, operation: Tick) -> TickAnswer:
    schedules, commit, now = store.namespace.schedules, operation.commit, store._now()
    known = schedules.get(commit.name)
    before = store.namespace.records.get(known.last_task_id) if known else None
    word = rules.judge(known, commit, before, now)
    if known is None or word not in (Word.DONE, Word.BUSY):
        return TickAnswer(word=word, now_ms=now, schedule=known)
    if word is Word.DONE and commit.call is not None:
        group = Group(submissions=(commit.call,))
        done = await store.submit(operation.queue, (group,))
        word = done.outcomes[0].word
    after = schedules[commit.name] = rules.committed(known, commit, word)
    return TickAnswer(word=word, now_ms=now, schedule=after)


HANDLERS: Final[Mapping[type[Operation[Any]], Callable[[Inside, Any], Awaitable[Any]]]] = {
    PutSchedule: put_schedule,
    SteerSchedule: steer_schedule,
    ListSchedules: list_schedules,
    Tick: tick,
}
