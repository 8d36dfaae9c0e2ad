"""A namespace of several partitions: what spans queues, and what its processes agree on."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from kew.adapters.memory.store import MemoryStore
from kew.app.notices import Interrupted, Notice, Resumed, Wakeup, Woken
from kew.app.partitions import PartitionedStore, PartitionedWakeup
from kew.app.partitions.reserving import GIVEN_BACK_AFTER_MS
from kew.app.ports import (
    Announce,
    Declare,
    Find,
    ListSchedules,
    Processes,
    Purge,
    PutSchedule,
    Queues,
    Refused,
    Statuses,
    SteerSchedule,
    Sweep,
    Tick,
)
from kew.compat import override
from kew.domain.config import Settings
from kew.domain.errors import InvalidConfigError, StoreUnsuitableError
from kew.domain.partitions import LAYOUT_ID, home_of
from kew.domain.requests import Word
from kew.domain.schedule import Schedule, ScheduleVerb, TickCommit, call_of, tick_id, tick_nonce
from kew.domain.task import Task
from tests.support.partitions import Partitions, names
from tests.support.scene import call, group

MINUTE_MS = 60_000


@pytest.fixture
async def parts() -> Partitions:
    made = Partitions()
    await made.store.open()
    await made.declare(*(made.queue_in(n) for n in range(3)))
    return made


def test_there_is_at_least_one_partition():
    with pytest.raises(InvalidConfigError, match="1 to 65536 partitions"):
        PartitionedStore([])


async def test_another_number_or_order_of_partitions_is_refused(parts: Partitions):
    await PartitionedStore(parts.stores).open()
    for others in (parts.stores[:2], [*parts.stores, MemoryStore(parts.clock)], parts.stores[::-1]):
        with pytest.raises(StoreUnsuitableError, match="number of partitions"):
            await PartitionedStore(others).open()


async def test_a_namespace_with_queues_is_not_made_a_partition():
    made = Partitions()
    await made.stores[0].do(Declare(made.queue_in(1), Settings(), "e1"))
    with pytest.raises(StoreUnsuitableError, match="number of partitions"):
        await made.store.open()
    assert made.tasks(LAYOUT_ID) == [
        made.stores[n].inner.namespace.records[LAYOUT_ID] for n in (1, 2)
    ]


async def test_it_says_how_many_partitions_it_has(parts: Partitions):
    assert await parts.store.facts() == {"partitions": "3"}
    assert parts.store.apart() is None  # memory lives in one event loop


async def test_queues_and_processes_of_all_partitions_are_listed_without_what_is_reserved(
    parts: Partitions,
):
    queues = [parts.queue_in(n) for n in range(3)]
    assert await parts.store.do(Queues()) == sorted(queues)
    for n, queue in enumerate(queues):
        parts.clock.now += 1
        await parts.store.do(Announce(queue, "p1", ["f"], 1000, report=f"report {n}"))
    await parts.store.do(Announce(queues[2], "p0", ["f"], 1000))
    first, second = await parts.store.do(Processes())
    assert (first.incarnation, list(first.queues)) == ("p0", [queues[2]])
    assert (second.incarnation, list(second.queues)) == ("p1", sorted(queues))
    assert (second.report, second.seen_at) == ("report 2", parts.clock.now)


async def test_statuses_come_in_the_order_of_their_names(parts: Partitions):
    queues = [parts.queue_in(2), "nowhere", parts.queue_in(0), parts.queue_in(2)]
    found = await parts.store.do(Statuses(tuple(queues)))
    assert [status and status.name for status in found] == [queues[0], None, queues[2], queues[3]]


async def test_an_answer_that_would_be_incomplete_is_an_error_and_other_queues_work(
    parts: Partitions,
):
    parts.stores[1].is_cut_off = True
    with pytest.raises(Refused):
        await parts.store.do(Queues())
    assert (await parts.submit(parts.queue_in(0), parts.id_at(0)))[0].word is Word.DONE
    swept = await parts.store.do(Sweep(parts.queue_in(0), 10, 1000, None))
    assert swept.now_ms == parts.clock.now
    await parts.store.close()


# --- schedules


def schedule(queue: str, name: str = "nightly") -> Schedule:
    return Schedule(name=name, queue=queue, call=call("-", nonce="-"), every_ms=MINUTE_MS)


def tick_of(parts: Partitions, queue: str, name: str = "nightly") -> Tick:
    due = parts.clock.now
    made = schedule(queue, name)
    call = call_of(made, due, tick_nonce("n", 0))
    commit = TickCommit(name=name, edition="e1", after=due - MINUTE_MS, upto=due, call=call)
    return Tick(queue, commit)


async def test_a_schedule_lies_with_its_queue_and_moves_with_it(parts: Partitions):
    one, two = parts.queue_in(0), parts.queue_in(1)
    assert await parts.store.do(PutSchedule(schedule(one), "e1")) is Word.DONE
    assert await parts.store.do(PutSchedule(schedule(one), "e1")) is Word.SAME
    paused = SteerSchedule(one, "nightly", ScheduleVerb.PAUSE, "why")
    assert await parts.store.do(paused) is Word.DONE
    assert await parts.store.do(PutSchedule(schedule(two), "e2")) is Word.DONE
    (stored,) = (await parts.store.do(ListSchedules())).schedules
    assert (stored.schedule.queue, stored.note) == (two, "why")
    assert [len(store.inner.namespace.schedules) for store in parts.stores] == [0, 1, 0]
    removed = SteerSchedule(one, "nightly", ScheduleVerb.REMOVE)  # its queue as it was known
    assert await parts.store.do(removed) is Word.DONE
    assert await parts.store.do(removed) is Word.MISSING


async def test_a_paused_schedule_that_moves_stays_paused_although_a_request_is_lost(
    parts: Partitions, monkeypatch: pytest.MonkeyPatch
):
    one, two = parts.queue_in(0), parts.queue_in(1)
    await parts.store.do(PutSchedule(schedule(one), "e1"))
    await parts.store.do(SteerSchedule(one, "nightly", ScheduleVerb.PAUSE, "why"))
    carry_out, lost = parts.stores[1].do, {PutSchedule, SteerSchedule}

    async def lose_the_first(operation: Any) -> Any:
        if type(operation) in lost:
            lost.remove(type(operation))
            raise Refused("lost")
        return await carry_out(operation)

    monkeypatch.setattr(parts.stores[1], "do", lose_the_first)
    assert await parts.store.do(PutSchedule(schedule(two), "e2")) is Word.DONE
    assert not lost
    (stored,) = (await parts.store.do(ListSchedules())).schedules
    assert (stored.schedule.queue, stored.note, stored.paused_at > 0) == (two, "why", True)


async def test_schedules_of_some_queues_are_read_in_their_partitions_alone(parts: Partitions):
    one, two = parts.queue_in(0), parts.queue_in(1)
    await parts.store.do(PutSchedule(schedule(one, "one"), "e1"))
    await parts.store.do(PutSchedule(schedule(two, "two"), "e2"))
    parts.stores[1].is_cut_off = True
    with pytest.raises(Refused):
        await parts.store.do(ListSchedules())
    listed = await parts.store.do(ListSchedules((one, parts.queue_in(2), one)))
    assert [stored.schedule.name for stored in listed.schedules] == ["one"]


async def test_a_schedule_goes_with_a_purged_queue(parts: Partitions):
    queue = parts.queue_in(0)
    await parts.store.do(PutSchedule(schedule(queue), "e1"))
    assert await parts.store.do(Purge(queue, f"edition of {queue}"))
    assert (await parts.store.do(ListSchedules())).schedules == []


async def test_a_tick_is_one_task_whose_id_no_other_queue_can_use(parts: Partitions):
    queue = parts.queue_in(0)
    due = parts.clock.now + MINUTE_MS
    name = next(one for one in names("nightly") if home_of(tick_id(one, due), 3) == 1)
    await parts.store.do(PutSchedule(schedule(queue, name), "e1"))
    parts.clock.now = due
    tick = tick_of(parts, queue, name)
    answers = [(await parts.store.do(tick)).word for _ in range(2)]
    assert answers == [Word.DONE, Word.STALE]
    (found,) = await parts.store.do(Find([tick_id(name, due)]))
    assert isinstance(found, Task)
    assert found.queue == queue
    taken = await parts.submit(parts.queue_in(1), group(call(found.id, nonce="other")))
    assert taken[0].word is Word.DUPLICATE


async def test_a_tick_whose_id_is_in_use_elsewhere_is_dealt_with(parts: Partitions):
    queue, due = parts.queue_in(0), parts.clock.now + MINUTE_MS
    await parts.store.do(PutSchedule(schedule(queue), "e1"))
    await parts.submit(parts.queue_in(1), tick_id("nightly", due))
    parts.clock.now = due
    assert (await parts.store.do(tick_of(parts, queue))).word is Word.DUPLICATE
    (stored,) = (await parts.store.do(ListSchedules())).schedules
    assert (stored.after, stored.last_due) == (due, 0)


async def test_a_tick_whose_id_was_given_back_meanwhile_is_not_lost(parts: Partitions):
    queue, due = parts.queue_in(0), parts.clock.now + MINUTE_MS
    name = next(one for one in names("nightly") if home_of(tick_id(one, due), 3) == 1)
    task_id = tick_id(name, due)
    await parts.store.do(PutSchedule(schedule(queue, name), "e1"))
    await parts.store.reservations.reserve([task_id], 0)  # and then its queue had no room
    parts.clock.now += GIVEN_BACK_AFTER_MS
    for number in range(3):
        await parts.store.reservations.tend(number)
    assert [task.status for task in parts.tasks(task_id)] == ["cancelled"]
    parts.clock.now = due
    assert (await parts.store.do(tick_of(parts, queue, name))).word is Word.DONE
    assert isinstance((await parts.store.do(Find([task_id])))[0], Task)


# --- notifications


@attrs.define(eq=False)
class Spoken(Wakeup):
    """A subscription whose notices the test delivers."""

    deliver: Callable[[Notice], None] = lambda notice: None
    is_closed: bool = False

    @override
    async def listen(self, incarnation: str, deliver: Callable[[Notice], None]) -> None:
        self.deliver = deliver

    @override
    async def close(self) -> None:
        self.is_closed = True


async def test_notices_come_from_all_partitions_and_are_resumed_once_all_are():
    wakeups, told = [Spoken(), Spoken()], list[Notice]()
    wakeup = PartitionedWakeup(wakeups)
    await wakeup.listen("p1", told.append)
    first, second = wakeups[0].deliver, wakeups[1].deliver
    down = Interrupted("down")
    notices: list[tuple[Callable[[Notice], None], Notice]]
    notices = [(first, Woken("q")), (second, down), (first, down), (first, Resumed())]
    notices += [(first, Woken("r")), (second, Resumed())]
    for deliver, notice in notices:
        deliver(notice)
    assert told == [Woken("q"), down, down, Woken("r"), Resumed()]
    await wakeup.close()
    assert all(one.is_closed for one in wakeups)


async def test_a_wakeup_that_listens_again_has_forgotten_what_was_interrupted():
    wakeups, told = [Spoken(), Spoken()], list[Notice]()
    wakeup = PartitionedWakeup(wakeups)
    down = Interrupted("down")
    await wakeup.listen("p1", told.append)
    wakeups[0].deliver(down)
    await wakeup.close()
    await wakeup.listen("p2", told.append)
    wakeups[1].deliver(down)
    wakeups[1].deliver(Resumed())
    assert told == [down, down, Resumed()]
