"""Schedules of a partitioned namespace: each lies in the partition of its queue, so that a tick is one atomic step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import attrs

from kew.app.partitions import submitting
from kew.app.partitions.reserving import together
from kew.app.ports import (
    ListSchedules,
    PutSchedule,
    SteerSchedule,
    Submit,
    TaskStore,
    Tick,
    TickAnswer,
)
from kew.app.repeat import answered
from kew.domain.requests import Group, Word
from kew.domain.schedule import ScheduleVerb, StoredSchedule


class Partitions(submitting.Partitions, Protocol):
    """What schedules need of the store above the partitions."""

    @property
    def stores(self) -> Sequence[TaskStore]: ...


async def put(partitions: Partitions, operation: PutSchedule) -> Word:
    """To the partition of its queue. It is removed from another one first, where its last queue lies.

    It starts over then: nothing was missed. It stays paused. What comes after the removal is repeated here, since a
    second call would find neither the schedule nor its pause.
    """
    store, name = partitions.store_of(operation.queue), operation.schedule.name
    if await _find(store, name) is not None:
        return await store.do(operation)
    others = [other for other in partitions.stores if other is not store]
    found = await together([_find(other, name) for other in others]) if others else ()
    places = [(other, stored) for other, stored in zip(others, found, strict=True) if stored]
    for other, stored in places:
        await other.do(SteerSchedule(stored.schedule.queue, name, ScheduleVerb.REMOVE))
    if not places:
        return await store.do(operation)
    word = await answered(lambda: store.do(operation))
    for note in [stored.note for _, stored in places if stored.paused_at]:
        pause = SteerSchedule(operation.queue, name, ScheduleVerb.PAUSE, note)
        await answered(partial(store.do, pause))
    return word


async def _find(store: TaskStore, name: str) -> StoredSchedule | None:
    listed = await store.do(ListSchedules())
    return next((stored for stored in listed.schedules if stored.schedule.name == name), None)


async def steer(partitions: Partitions, operation: SteerSchedule) -> Word:
    """To the partition of the queue; if it has moved since, to the others."""
    own = partitions.store_of(operation.queue)
    word = await own.do(operation)
    for store in partitions.stores:
        if word is not Word.MISSING:
            return word
        if store is not own:
            word = await store.do(operation)
    return word


async def tick(partitions: Partitions, operation: Tick) -> TickAnswer:
    """To the partition of its queue, once the id of its task can be used there. One that can't submits nothing.

    What is in the way of the id is removed before: a store that refuses a tick's id deals with the tick all the same.
    """
    commit, store = operation.commit, partitions.store_of(operation.queue)
    if commit.call is None:
        return await store.do(operation)
    place, task_id = partitions.place_of(operation.queue), commit.call.id
    if await partitions.reservations.reserve([task_id], place):
        answer = await store.do(attrs.evolve(operation, commit=attrs.evolve(commit, call=None)))
        word = Word.DUPLICATE if answer.word is Word.DONE else answer.word
        return attrs.evolve(answer, word=word)
    await partitions.reservations.make_room(task_id, place)
    answer = await store.do(operation)
    if answer.word is not Word.DUPLICATE:
        return answer
    # A task has the id, or it was given back meanwhile.
    submit = Submit(operation.queue, [Group(submissions=(commit.call,))])
    submitted = await submitting.submit(partitions, submit.queue, submit.groups, submit.along)
    return attrs.evolve(answer, word=submitted.outcomes[0].word)
