"""The way of each operation through a namespace of several partitions. `ROUTES` has one for every operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar, cast

import attrs

from kew.app.partitions import merging, schedules, submitting
from kew.app.partitions.merging import MERGED
from kew.app.partitions.reserving import together
from kew.app.ports import (
    Announce,
    Cancel,
    CancelAll,
    Claim,
    Control,
    Declare,
    Depart,
    Discard,
    Empty,
    Examine,
    Explain,
    Extend,
    Find,
    Forget,
    Hasten,
    History,
    LimitKey,
    ListedSchedules,
    ListFailed,
    ListGroups,
    ListKeyLimits,
    ListSchedules,
    ListUnreadable,
    ListWaiting,
    Operation,
    Pasts,
    Peek,
    Processes,
    Purge,
    PutSchedule,
    Queues,
    ReadAttempts,
    ReadPayload,
    ReadSettings,
    Replay,
    ReplayAll,
    Running,
    SaveCheckpoint,
    SetOverrides,
    Settle,
    Status,
    Statuses,
    SteerSchedule,
    Submit,
    Submitted,
    Sweep,
    Swept,
    TaskStore,
    Tick,
    Watch,
)
from kew.domain.partitions import home_of, is_reserved, reserved_for
from kew.domain.task import Found

T = TypeVar("T")
Places = Sequence[int]


class Partitions(submitting.Partitions, Protocol):
    """The store above the partitions, as its routes see it."""

    @property
    def stores(self) -> Sequence[TaskStore]: ...
    def tend_next(self) -> None: ...


async def by_queue(partitions: Partitions, operation: Operation[T]) -> T:
    """To the partition of the queue that it concerns."""
    return await partitions.store_of(operation.queue).do(operation)


async def to_all(partitions: Partitions, operation: Operation[T]) -> T:
    """To every partition; `MERGED` says how the answers become one."""
    answers = await together([store.do(operation) for store in partitions.stores])
    return cast("T", MERGED[type(operation)](answers))


async def list_schedules(partitions: Partitions, operation: ListSchedules) -> ListedSchedules:
    """To the partitions of the queues that are named; without any, to all."""
    places = sorted({partitions.place_of(queue) for queue in operation.queues})
    stores = [partitions.stores[place] for place in places] or partitions.stores
    return merging.schedules(await together([store.do(operation) for store in stores]))


async def submit(partitions: Partitions, operation: Submit) -> Submitted:
    """To the queue's partition, once the ids that are found elsewhere are reserved there."""
    return await submitting.submit(partitions, operation.queue, operation.groups, operation.along)


async def sweep(partitions: Partitions, operation: Sweep) -> Swept:
    """To the queue's partition; and the reservations of some partition are looked through."""
    partitions.tend_next()
    return await by_queue(partitions, operation)


# --- several queues or ids in one operation


async def split(
    partitions: Partitions, places: Places, ask: Callable[[Places], Operation[Sequence[T]]]
) -> list[T]:
    """One answer for each of `places`; `ask` makes the operation for some of them, by their numbers."""
    numbers: dict[int, list[int]] = {}
    for number, place in enumerate(places):
        numbers.setdefault(place, []).append(number)
    calls = [partitions.stores[place].do(ask(some)) for place, some in numbers.items()]
    answers = await together(calls)
    found: dict[int, T] = {}
    for some, answer in zip(numbers.values(), answers, strict=True):
        found.update(zip(some, answer, strict=True))
    return [found[number] for number in range(len(places))]


async def by_queues(partitions: Partitions, operation: Statuses | Pasts) -> Sequence[Any]:
    """To the partitions of its queues, each asked for its own."""
    queues = operation.queues
    return await split(
        partitions,
        [partitions.place_of(queue) for queue in queues],
        lambda some: attrs.evolve(operation, queues=tuple(queues[n] for n in some)),
    )


async def find(partitions: Partitions, operation: Find) -> Sequence[Found]:
    """To the homes of the ids and, for those that are reserved there, to the partitions that they are reserved for."""
    ids = operation.task_ids

    def ask(numbers: Places) -> Find:
        return Find([ids[n] for n in numbers])

    homes = [home_of(task_id, len(partitions.stores)) for task_id in ids]
    found = await split(partitions, homes, ask)
    reserved = [
        (n, place) for n, one in enumerate(found) if (place := reserved_for(one)) is not None
    ]
    moved = await split(
        partitions,
        [place for _, place in reserved],
        lambda some: ask([reserved[k][0] for k in some]),
    )
    for (n, _), one in zip(reserved, moved, strict=True):
        found[n] = one
    return [None if is_reserved(one) else one for one in found]


async def read_payload(partitions: Partitions, operation: ReadPayload) -> bytes | None:
    """As `find`, and then to where the task is."""
    task_id = operation.task_id
    place = home_of(task_id, len(partitions.stores))
    (found,) = await partitions.stores[place].do(Find([task_id]))
    if (elsewhere := reserved_for(found)) is not None:
        place = elsewhere
        (found,) = await partitions.stores[place].do(Find([task_id]))
    if found is None or is_reserved(found):
        return None
    return await partitions.stores[place].do(operation)


ROUTES: Final[Mapping[type[Operation[Any]], Callable[[Any, Any], Awaitable[Any]]]] = {
    **dict.fromkeys(
        (
            *(Declare, ReadSettings, Status, History, Examine, Control),
            *(SetOverrides, LimitKey, ListKeyLimits, Empty, Purge),
            *(Announce, Depart, Peek),
            *(Claim, Settle, Extend, SaveCheckpoint),
            *(Watch, Cancel, CancelAll, Hasten, Replay, Discard),
            *(Explain, Running, ListWaiting, ListUnreadable),
            *(ListFailed, ListGroups, ReadAttempts, ReplayAll, Forget),
        ),
        by_queue,
    ),
    **dict.fromkeys((Queues, Processes), to_all),
    ListSchedules: list_schedules,
    **dict.fromkeys((Statuses, Pasts), by_queues),
    Submit: submit,
    Sweep: sweep,
    Find: find,
    ReadPayload: read_payload,
    PutSchedule: schedules.put,
    SteerSchedule: schedules.steer,
    Tick: schedules.tick,
}
"""How each operation reaches the partitions that it concerns."""
