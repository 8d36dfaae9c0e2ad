"""Large batches: their pieces are on their way two at a time, and in only one after another."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

import pytest

from kew import (
    QueueConfig,
    QueueFullError,
    QueueNotFoundError,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskAlreadyExistsError,
    TaskInfo,
    TaskNotFoundError,
    TaskQueueError,
    TaskQueueManager,
)
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app.inspector import purged
from kew.app.ports import Ambiguous, Find, Refused, Submitted
from kew.app.submitting.outbox import Outbox
from kew.bootstrap import Parts
from kew.compat import override
from kew.domain.requests import ALONE, Along, Group, Word
from tests.support import jobs
from tests.support.ledger import until
from tests.support.tasks import readable

Wait = Callable[["Sending"], Any]


class Sending:
    """One sending of a piece: the number of its first task, and how many sendings there were before."""

    def __init__(self, first: int, number: int) -> None:
        self.first = first
        self.number = number


class Watched(MemoryStore):
    """A store that notes what is sent, and asks a test what is to happen to it first."""

    def __init__(self, before: Wait | None = None) -> None:
        super().__init__(SystemClock())
        self.before = before
        self.sent: list[int] = []
        self.words: list[Word] = []
        self.on_their_way = self.most_at_once = 0

    @override
    async def submit(
        self, queue: str, groups: Collection[Group], along: Along = ALONE
    ) -> Submitted:
        first = int(next(iter(groups)).submissions[0].id)
        self.sent.append(first)
        sending = Sending(first, len(self.sent))
        self.on_their_way += 1
        self.most_at_once = max(self.most_at_once, self.on_their_way)
        try:
            await asyncio.sleep(0)
            if self.before is not None:
                await self.before(sending)
            submitted = await super().submit(queue, groups, along)
        finally:
            self.on_their_way -= 1
        self.words += [outcome.word for outcome in submitted.outcomes]
        return submitted


@pytest.fixture
def pieces_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "most_tasks", 2)


pytestmark = pytest.mark.usefixtures("pieces_of_two")


def batch(count: int) -> list[dict[str, Any]]:
    return [{"task_id": str(n), "task_type": "t", "task_func": jobs.echo} for n in range(count)]


def manager_of(store: Watched, patience: float = 30.0) -> TaskQueueManager:
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    return TaskQueueManager(parts=parts, patience=patience)


async def assert_stored(manager: TaskQueueManager, *, up_to: int, of: int) -> None:
    for n in range(up_to):
        await manager.get_task_status(str(n))
    for n in range(up_to, of):
        with pytest.raises(TaskNotFoundError):
            await manager.get_task_status(str(n))


async def test_the_next_piece_is_on_its_way_while_one_is_not_yet_answered():
    store = Watched()
    async with manager_of(store) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        infos = await manager.submit_tasks("q", batch(9))
    assert [info.task_id for info in infos] == [str(n) for n in range(9)]
    assert store.sent == [0, 2, 4, 6, 8]
    assert store.most_at_once == 2


async def test_a_piece_that_overtook_another_is_sent_again_and_those_after_it_only_once():
    overtaken = asyncio.Event()

    async def before(sending: Sending) -> None:
        if sending.first == 0:
            await overtaken.wait()
        overtaken.set()

    store = Watched(before)
    async with manager_of(store) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        await manager.submit_tasks("q", batch(12))
        await assert_stored(manager, up_to=12, of=12)
    assert store.words.count(Word.EARLY) <= 2
    assert store.words.count(Word.DONE) == 6
    assert max(map(store.sent.count, range(12))) == 2


async def test_pieces_that_overtake_each_other_all_the_time_are_all_stored_in_order():
    async def before(sending: Sending) -> None:
        for _ in range(sending.number % 3 * 20):
            await asyncio.sleep(0)

    store = Watched(before)
    async with manager_of(store) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        await manager.submit_tasks("q", batch(40))
        tasks = list(map(readable, await store.do(Find([str(n) for n in range(40)]))))
    tickets = [task.ticket for task in tasks if task]
    assert tickets == sorted(tickets)
    assert len(tickets) == 40
    assert Word.EARLY in store.words, "nothing overtook anything"


async def test_where_a_piece_is_full_the_next_one_stays_out_though_it_would_fit():
    store = Watched()
    async with manager_of(store) as manager:
        await manager.create_queue(QueueConfig("q", max_size=3), work=False)
        with pytest.raises(QueueFullError) as full:
            await manager.submit_tasks("q", batch(5))
        assert full.value.accepted == ("0", "1")
        await until(lambda: Word.EARLY in store.words, "the next piece")
        await assert_stored(manager, up_to=2, of=5)


async def test_where_a_piece_has_a_used_id_the_next_one_stays_out():
    store = Watched()
    async with manager_of(store) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        await manager.submit_task("3", "q", "t", jobs.echo)
        with pytest.raises(TaskAlreadyExistsError, match="'3'") as used:
            await manager.submit_tasks("q", batch(6))
        assert used.value.accepted == ("0", "1")
        assert (await manager.get_queue_status("q"))["queued_tasks"] == 3


async def test_where_the_queue_goes_half_way_the_error_tells_what_was_in():
    async def before(sending: Sending) -> None:
        if sending.first == 4:
            await purged(store, "q")

    store = Watched(before)
    async with manager_of(store) as owner, manager_of(store) as submitting:
        await owner.create_queue(QueueConfig("q"), work=False)
        with pytest.raises(QueueNotFoundError) as told:
            await submitting.submit_tasks("q", batch(7))
    assert told.value.accepted == ("0", "1", "2", "3")


async def test_where_a_piece_is_not_answered_the_next_one_stays_out():
    async def before(sending: Sending) -> None:
        if sending.first == 2:
            raise Refused("it is away")

    store = Watched(before)
    async with manager_of(store, patience=0.2) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        with pytest.raises(StoreUnavailableError) as away:
            await manager.submit_tasks("q", batch(6))
        assert away.value.accepted == ("0", "1")
        assert store.words.count(Word.EARLY) == 1
        await assert_stored(manager, up_to=2, of=6)


async def test_where_nobody_knows_of_a_piece_the_error_names_its_first_task():
    async def before(sending: Sending) -> None:
        if sending.first == 2:
            raise Ambiguous("it went away")

    async with manager_of(Watched(before), patience=0.2) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        with pytest.raises(SubmitUncertainError) as uncertain:
            await manager.submit_tasks("q", batch(6))
        assert uncertain.value.accepted == ("0", "1")
        assert uncertain.value.task_id == "2"


async def test_full_is_no_certain_answer_to_a_piece_that_was_early_and_unanswered():
    late: list[Any] = []

    async def before(sending: Sending) -> None:
        if sending.number == 1:
            await until(lambda: Word.EARLY in store.words, "the piece that overtakes this one")
        if sending.number == 2:
            late.append(sending)
            raise Ambiguous("it may yet arrive")

    store = Watched(before)
    async with manager_of(store) as manager:
        await manager.create_queue(QueueConfig("q", max_size=3), work=False)
        with pytest.raises(SubmitUncertainError) as uncertain:
            await manager.submit_tasks("q", batch(4))
        assert uncertain.value.accepted == ("0", "1")
        assert late


async def test_no_answer_to_a_piece_that_was_early_and_unanswered_leaves_it_in_doubt():
    async def before(sending: Sending) -> None:
        if sending.number == 1:
            await until(lambda: Word.EARLY in store.words, "the piece that overtakes this one")
        if sending.number == 2:
            raise Ambiguous("it may yet arrive")
        if sending.number > 3:
            raise Refused("it is away")

    store = Watched(before)
    async with manager_of(store, patience=0.5) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        with pytest.raises(SubmitUncertainError) as uncertain:
            await manager.submit_tasks("q", batch(4))
        assert uncertain.value.accepted == ("0", "1")


@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_shutting_down_waits_for_a_batch_whatever_piece_it_is_at(turns: int):
    async with manager_of(Watched()) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        submitting = asyncio.create_task(manager.submit_tasks("q", batch(20)))
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns:
            await manager.shutdown()
        assert len(await submitting) == 20


@pytest.mark.parametrize("turns", range(1, 60, 3))
async def test_whoever_submits_at_a_shutdown_that_waits_for_nobody_is_told(turns: int):
    async with manager_of(Watched()) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        await manager.submit_task("100", "q", "t", jobs.echo)
        callers = [
            asyncio.create_task(manager.submit_tasks("q", batch(20))),
            asyncio.create_task(manager.submit_task("101", "q", "t", jobs.echo)),
            asyncio.create_task(manager.submit_task("102", "q", "t", jobs.work)),
        ]
        for _ in range(turns):
            await asyncio.sleep(0)
        await manager.shutdown(timeout=0)
        async with asyncio.timeout(30):
            told = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(each, list | TaskInfo | TaskQueueError) for each in told), told


async def test_a_mistake_in_the_last_piece_is_found_before_the_first_one_is_sent():
    store = Watched()
    async with manager_of(store) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        wrong = [*batch(8), {"task_id": "8", "task_type": "t"}]
        with pytest.raises(Exception, match="task_func"):
            await manager.submit_tasks("q", wrong)
    assert store.sent == []


@pytest.mark.parametrize("is_stored", [True, False], ids=["its answer lost", "it was lost"])
async def test_a_batch_is_resumed_with_what_has_no_record(is_stored: bool):
    """As docs/failure.md says; and the token, which is that of one task, resumes no piece of several."""

    class Losing(Watched):
        is_away = True

        @override
        async def submit(
            self, queue: str, groups: Collection[Group], along: Along = ALONE
        ) -> Submitted:
            first = next(iter(groups)).submissions[0].id
            if self.is_away and first != "0":
                if is_stored:
                    await super().submit(queue, groups, along)
                raise Ambiguous("its answer was lost")
            return await super().submit(queue, groups, along)

    store = Losing()
    async with manager_of(store, patience=0.2) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        with pytest.raises(SubmitUncertainError) as uncertain:
            await manager.submit_tasks("q", batch(6))
        store.is_away = False
        rest = batch(6)[len(uncertain.value.accepted) :]
        if is_stored:
            rest[0]["_token"] = uncertain.value.token
            with pytest.raises(TaskAlreadyExistsError):
                await manager.submit_tasks("q", rest)
        missing = [entry for entry in rest if await has_no_record(manager, entry["task_id"])]
        await manager.submit_tasks("q", missing)
        await assert_stored(manager, up_to=6, of=6)


async def has_no_record(manager: TaskQueueManager, task_id: str) -> bool:
    try:
        await manager.get_task_status(task_id)
    except TaskNotFoundError:
        return True
    return False


async def test_a_token_in_an_entry_resumes_a_batch_of_this_one_alone():
    store = Watched()
    async with manager_of(store) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        for _ in range(2):
            await manager.submit_tasks("q", [{**batch(1)[0], "_token": "abc"}])
        assert store.words == [Word.DONE, Word.SAME]
