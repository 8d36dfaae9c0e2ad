"""Ids that are looked up elsewhere than where their queue lies."""

import asyncio
import contextlib
from collections.abc import Sequence
from itertools import islice
from random import Random
from typing import Any, TypeVar

import pytest

from kew.adapters.memory.store import MemoryStore
from kew.app.partitions import PartitionedStore, reserving
from kew.app.partitions.reserving import GIVEN_BACK_AFTER_MS
from kew.app.ports import (
    Cancel,
    Declare,
    Find,
    Forget,
    Operation,
    ReadPayload,
    StoreError,
    TaskStore,
)
from kew.compat import override
from kew.domain.config import Settings
from kew.domain.partitions import LAYOUT_ID, RESERVED, home_of, is_reserved, mark_of
from kew.domain.requests import LifeRef, Word
from kew.domain.task import Task
from tests.support.partitions import Partitions, names
from tests.support.scene import SteppedClock, call, group

A = TypeVar("A")


@pytest.fixture
async def parts() -> Partitions:
    """Three partitions with a queue in each, which are called `queue_in(0)` and so on."""
    made = Partitions()
    await made.store.open()
    await made.declare(*(made.queue_in(n) for n in range(3)))
    for store in made.stores:
        store.asked.clear()
    return made


async def remove(parts: Partitions, task_id: str) -> None:
    (task,) = [one for one in parts.tasks(task_id) if not is_reserved(one)]
    await parts.store.do(Cancel(task.queue, task_id, task.life))
    assert await parts.store.do(Forget(task.queue, [LifeRef(task_id, task.life)])) == [Word.DONE]


async def tend_next(parts: Partitions, times: int) -> None:
    for _ in range(times):
        parts.store.tend_next()
        for _ in range(3):  # it waits for nothing
            await asyncio.sleep(0)


async def tend_all(parts: Partitions) -> None:
    for number in range(3):
        await parts.store.reservations.tend(number)


# --- using ids


async def test_a_batch_of_generated_ids_takes_one_request(parts: Partitions):
    queue = parts.queue_in(1)
    ids = [f"mail-{n:016}{mark_of(queue)}" for n in range(10)]
    outcomes = await parts.submit(queue, group(*ids[:5]), group(*ids[5:], after=ids[0]))
    assert [outcome.word for outcome in outcomes] == [Word.DONE, Word.DONE]
    assert parts.asked() == 1
    assert [task.id for task in await parts.store.do(Find(ids)) if isinstance(task, Task)] == ids
    assert parts.asked() == 2


async def test_an_id_that_is_looked_up_where_its_queue_lies_takes_one_request(parts: Partitions):
    await parts.submit(parts.queue_in(1), parts.id_at(1))
    assert parts.asked() == 1


async def test_any_other_id_takes_one_request_more_however_many_there_are(parts: Partitions):
    ids = [parts.id_at(0, f"a{n}") for n in range(5)]
    await parts.submit(parts.queue_in(1), group(*ids))
    assert [store.asked.total() for store in parts.stores] == [1, 1, 0]


async def test_an_id_is_used_once_in_all_partitions(parts: Partitions):
    for home in range(3):
        task_id = parts.id_at(home)
        words = [
            (await parts.submit(parts.queue_in(n), group(call(task_id, nonce=f"n{n}"))))[0].word
            for n in (1, 2, 0)
        ]
        assert words == [Word.DONE, Word.DUPLICATE, Word.DUPLICATE]


async def test_a_repeated_submit_is_the_same(parts: Partitions):
    task_id, queue = parts.id_at(0), parts.queue_in(1)
    assert (await parts.submit(queue, task_id))[0].word is Word.DONE
    assert (await parts.submit(queue, task_id))[0].word is Word.SAME


async def test_of_a_group_the_first_id_in_use_is_named(parts: Partitions):
    queue = parts.queue_in(1)
    here, there = parts.id_at(1), parts.id_at(0)
    await parts.submit(queue, group(call(here, nonce="other")))
    await parts.submit(parts.queue_in(0), group(call(there, nonce="other")))
    assert (await parts.submit(queue, group("new", here, there)))[0].task_id == here
    assert (await parts.submit(queue, group("new", there, here)))[0].task_id == there
    assert (await parts.submit(queue, group("new", "new", there)))[0].task_id == "new"
    assert await parts.store.do(Find(["new"])) == [None]


async def test_an_undeclared_queue_is_said_to_be_so_whatever_the_ids(parts: Partitions):
    task_id = parts.id_at(0)
    await parts.submit(parts.queue_in(0), task_id)
    assert (await parts.submit("nowhere", task_id))[0].word is Word.NO_QUEUE


async def test_a_group_may_come_after_one_of_another_partition(parts: Partitions):
    before = parts.id_at(0)
    assert (await parts.submit(parts.queue_in(1), group("late", after=before)))[
        0
    ].word is Word.EARLY
    await parts.submit(parts.queue_in(2), before)
    assert (await parts.submit(parts.queue_in(1), group("late", after=before)))[0].word is Word.DONE


async def test_the_payload_is_read_where_the_task_is(parts: Partitions):
    task_id = parts.id_at(0)
    assert await parts.store.do(ReadPayload(task_id)) is None
    await parts.submit(parts.queue_in(1), group(call(task_id, payload=b"data")))
    assert await parts.store.do(ReadPayload(task_id)) == b"data"


async def test_the_records_of_reservations_are_no_tasks(parts: Partitions):
    task_id = parts.id_at(0)
    await parts.store.reservations.reserve([task_id], 1)
    assert await parts.store.do(Find([task_id, LAYOUT_ID])) == [None, None]
    assert await parts.store.do(ReadPayload(task_id)) is None
    assert (await parts.submit(parts.queue_in(0), LAYOUT_ID))[0].word is Word.DUPLICATE


# --- giving them back


async def test_an_id_can_be_used_again_at_once_in_any_partition(parts: Partitions):
    for home in range(3):
        task_id = parts.id_at(home)
        for place in (1, 2, 1, 0, 0, 1):
            (outcome,) = await parts.submit(parts.queue_in(place), task_id)
            assert outcome.word is Word.DONE, (home, place)
            await remove(parts, task_id)


async def test_a_reservation_without_a_task_is_given_back_once_it_is_old(parts: Partitions):
    task_id = parts.id_at(0)
    await parts.store.reservations.reserve([task_id], 1)
    parts.clock.now += GIVEN_BACK_AFTER_MS - 1
    await tend_all(parts)
    assert len(parts.tasks(task_id)) == 1
    parts.clock.now += 1
    await tend_all(parts)
    assert [task.status for task in parts.tasks(task_id)] == ["cancelled"]  # the block
    parts.clock.now += GIVEN_BACK_AFTER_MS
    await tend_all(parts)
    assert parts.tasks(task_id) == []


async def test_a_reservation_stays_while_its_id_cannot_be_blocked(parts: Partitions):
    task_id = parts.id_at(0)
    await parts.store.reservations.reserve([task_id], 1)  # and its submit is under way
    parts.clock.now += GIVEN_BACK_AFTER_MS
    await parts.stores[1].do(Declare(RESERVED, Settings(max_size=1), "no room"))
    await tend_all(parts)
    assert [record.status for record in parts.tasks(task_id)] == ["queued"]


async def test_many_reservations_are_given_back_in_few_requests(parts: Partitions):
    ids = [task_id for n in range(900) if home_of(task_id := f"many-{n}", 3) == 0][:250]
    used, unused = ids[:30], ids[30:]
    await parts.submit(parts.queue_in(1), *used)
    await parts.store.reservations.reserve(unused, 1)
    parts.clock.now += GIVEN_BACK_AFTER_MS
    for store in parts.stores:
        store.asked.clear()
    await parts.store.reservations.tend(0)
    assert parts.asked() <= 1 + 3 * 7  # for each page
    kept = {i for i, task in parts.stores[0].inner.namespace.records.items() if is_reserved(task)}
    assert kept == {LAYOUT_ID, *used}


async def test_maintenance_gets_past_the_reservations_of_tasks(parts: Partitions):
    ids = [task_id for n in range(1500) if home_of(task_id := f"many-{n}", 3) == 0][:350]
    await parts.submit(parts.queue_in(1), *ids[:-1])
    await parts.store.reservations.reserve(ids[-1:], 1)
    parts.clock.now += GIVEN_BACK_AFTER_MS
    for _ in range(4):
        await parts.store.reservations.tend(0)
    assert [task.status for task in parts.tasks(ids[-1])] == ["cancelled"]  # the block
    assert len(await parts.store.do(Find(ids[:-1]))) == len(ids) - 1


async def test_a_reservation_that_lies_ahead_is_given_back(parts: Partitions):
    task_id = parts.id_at(0)
    parts.clock.now += 10 * GIVEN_BACK_AFTER_MS
    await parts.store.reservations.reserve([task_id], 1)
    parts.clock.now -= 9 * GIVEN_BACK_AFTER_MS
    await tend_all(parts)
    assert [task.status for task in parts.tasks(task_id)] == ["cancelled"]  # the block


async def test_the_reservation_of_a_task_is_kept(parts: Partitions):
    task_id = parts.id_at(0)
    await parts.submit(parts.queue_in(1), task_id)
    parts.clock.now += GIVEN_BACK_AFTER_MS
    await tend_all(parts)
    assert (await parts.submit(parts.queue_in(0), group(call(task_id, nonce="n"))))[
        0
    ].word is Word.DUPLICATE


async def test_a_submit_that_comes_after_its_reservation_was_given_back_is_refused(
    parts: Partitions,
):
    task_id, queue = parts.id_at(0), parts.queue_in(1)
    await parts.store.reservations.reserve([task_id], 1)
    parts.clock.now += GIVEN_BACK_AFTER_MS
    await tend_all(parts)
    late = await parts.stores[1].submit(queue, [group(task_id)])
    assert late.outcomes[0].word is Word.DUPLICATE
    again = await parts.submit(queue, task_id)  # through the router: it is reserved again
    assert again[0].word is Word.DONE
    elsewhere = await parts.submit(parts.queue_in(0), group(call(task_id, nonce="n")))
    assert elsewhere[0].word is Word.DUPLICATE


async def test_a_process_that_stood_still_after_it_reserved_reserves_again(
    parts: Partitions, monkeypatch: pytest.MonkeyPatch
):
    task_id, loop = parts.id_at(2), asyncio.get_running_loop()
    frozen, reserve, time = list[float](), parts.store.reservations.reserve, loop.time

    async def freeze(ids: Sequence[str], partition: int) -> Sequence[str]:
        refused = await reserve(ids, partition)
        if (
            not frozen
        ):  # until the reservation and its block are gone, and another process has the id
            frozen.append(200.0)
            for _ in range(3):
                parts.clock.now += GIVEN_BACK_AFTER_MS + 1
                await tend_all(parts)
            assert not parts.tasks(task_id)
            assert [one.word for one in await parts.submit(parts.queue_in(1), task_id)] == [
                Word.DONE
            ]
        return refused

    monkeypatch.setattr(parts.store.reservations, "reserve", freeze)
    monkeypatch.setattr(loop, "time", lambda: time() + sum(frozen))
    (outcome,) = await parts.submit(parts.queue_in(0), group(call(task_id, nonce="frozen")))
    assert (outcome.word, outcome.task_id) == (Word.DUPLICATE, task_id)
    assert len([one for one in parts.tasks(task_id) if not is_reserved(one)]) == 1


async def test_ids_that_are_in_use_are_looked_up_together(parts: Partitions):
    ids = [each for each in islice(names("used"), 150) if home_of(each, 3) == 0]
    await parts.submit(parts.queue_in(0), *ids)
    before = parts.asked()
    for place in (0, 1):
        again = [group(call(each, nonce=f"other {place}")) for each in ids]
        outcomes = await parts.submit(parts.queue_in(place), *again)
        assert {one.word for one in outcomes} == {Word.DUPLICATE}
    assert parts.asked() - before <= 12


async def test_who_died_while_giving_back_is_finished_by_maintenance(parts: Partitions):
    task_id = parts.id_at(0)
    await parts.store.reservations.reserve([task_id], 1)
    (record,) = parts.tasks(task_id)
    parts.stores[0].is_cut_off = True  # it dies after the block
    with pytest.raises(StoreError):
        await parts.store.reservations.give_back(record, 0)
    parts.stores[0].is_cut_off = False
    parts.clock.now += GIVEN_BACK_AFTER_MS
    await parts.store.reservations.tend(1)
    assert [task.status for task in parts.tasks(task_id)] == ["cancelled"]


async def test_a_partition_that_is_cut_off_stops_nothing_but_itself(
    parts: Partitions, caplog: pytest.LogCaptureFixture
):
    parts.stores[1].is_cut_off = True
    await tend_next(parts, 6)
    assert [record.message for record in caplog.records] == [
        "partition 1: ids that no task has were not given back, repeating: cut off"
    ]
    assert all(store.asked["sweep"] == 2 for store in parts.stores)
    parts.stores[1].is_cut_off = False
    await tend_next(parts, 3)
    assert "it worked again" in caplog.text
    await parts.store.close()


# --- many at once, in any order


class Slow(TaskStore):
    """A partition whose answers come after a random number of turns, and whose requests arrive twice at times."""

    def __init__(self, inner: MemoryStore, random: Random) -> None:
        self.inner, self._random = inner, random
        self.late: list[asyncio.Task[Any]] = []

    @override
    async def open(self) -> None:
        """It lives in this process."""

    @override
    async def close(self) -> None:
        """It lives in this process."""

    @override
    async def do(self, operation: Operation[A]) -> A:
        await self._turns(4)
        if self._random.random() < 0.1 and operation.changes:
            self.late.append(asyncio.ensure_future(self._again(operation)))
        answer = await self.inner.do(operation)
        await self._turns(4)
        return answer

    async def _again(self, operation: Operation[Any]) -> None:
        await self._turns(40)
        await self.inner.do(operation)

    async def _turns(self, most: int) -> None:
        for _ in range(self._random.randrange(most)):
            await asyncio.sleep(0)


def tasks_of(stores: list[Slow], task_id: str) -> list[Task]:
    found = [store.inner.namespace.records.get(task_id) for store in stores]
    return [task for task in found if task is not None and not is_reserved(task)]


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", [*range(60), 967])
async def test_no_order_of_submits_and_givings_back_uses_an_id_twice(
    seed: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reserving, "GIVEN_BACK_AFTER_MS", 0)  # none is too recent
    random, clock, parts = Random(seed), SteppedClock(), Partitions()
    stores = [Slow(MemoryStore(clock), random) for _ in range(3)]
    router = PartitionedStore(stores)
    queues = [parts.queue_in(n) for n in range(3)]
    for queue in queues:
        await router.do(Declare(queue, Settings(), queue))
    ids = [parts.id_at(home) for home in range(3)]
    done: list[str] = []

    async def submitter(number: int) -> None:
        for n in range(4):
            await stores[0]._turns(20)
            task_id, queue = random.choice(ids), random.choice(queues)
            try:
                answer = await router.submit(queue, [group(call(task_id, nonce=f"{number}.{n}"))])
            except StoreError:
                continue
            for one in ids:
                assert len(tasks_of(stores, one)) <= 1, one
            if answer.outcomes[0].word is Word.DONE:
                done.append(task_id)
                for task in tasks_of(stores, task_id):
                    await router.do(Cancel(task.queue, task_id, task.life))
                    await router.do(Forget(task.queue, [LifeRef(task_id, task.life)]))

    async def keeper() -> None:
        for _ in range(12):
            await stores[0]._turns(12)
            clock.now += random.choice((0, GIVEN_BACK_AFTER_MS // 20))
            home = random.randrange(3)
            with contextlib.suppress(StoreError):
                if seed % 2:
                    await router.reservations.tend(home)
                    continue
                (record,) = await stores[home].do(Find([ids[home]]))
                if is_reserved(record):
                    await router.reservations.give_back(record, home)

    await asyncio.gather(*map(submitter, range(4)), keeper(), keeper())
    await asyncio.gather(*(late for store in stores for late in store.late))
    for task_id in ids:
        tasks = tasks_of(stores, task_id)
        assert len(tasks) <= 1, tasks
        for task in tasks:  # and it is where it is looked up
            assert await router.do(Find([task_id])) == [task]
    assert done
