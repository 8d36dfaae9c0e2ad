"""The outbox: what goes out when, and what each caller is told whatever the store does."""

import asyncio
import gc
import itertools
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any

import attrs
import pytest

from kew import (
    QueueConfig,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskContext,
    TaskInfo,
    TaskQueueManager,
    TaskStatus,
)
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app.inspector import purged
from kew.app.notices import Notice
from kew.app.ports import (
    Ambiguous,
    Announce,
    Declare,
    Find,
    OnAnswer,
    ReadSettings,
    Refused,
    Submitted,
)
from kew.app.submitting.batch import PieceAnswer
from kew.app.submitting.outbox import FULL_IN_FLIGHT, IN_FLIGHT, Outbox
from kew.app.submitting.trips import Unanswered
from kew.app.working.worker import Worker
from kew.bootstrap import Parts
from kew.compat import override
from kew.domain.requests import ALONE, Along, ClaimRequest, Grant, Group
from tests.support import jobs
from tests.support.answering import answer_instead
from tests.support.ledger import until
from tests.support.tasks import call

QUEUE = QueueConfig("q", max_workers=2, lease=1.0)
ENOUGH = range(
    IN_FLIGHT + 1
)  # as often as it takes for a round trip that is never counted as over to show


async def some_turns(count: int = 6) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Posting(MemoryStore):
    """A store that notes the ids of each round trip, and answers when, and what, it is told to."""

    def __init__(self, slowness: int = 0) -> None:
        super().__init__(SystemClock())
        self.slowness = slowness  # turns of the loop that an answer takes
        self.loses_replies = False
        self.claims_take = 0.0  # seconds
        self.trips: list[list[str]] = []
        self.asked: list[list[tuple[str, str]]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.errors: list[Exception] = []
        self.carried: list[list[str]] = []  # whose outcomes, by submit
        self.changed: Callable[[Submitted], Any] = lambda answer: answer
        self.is_closed = False

    @override
    def post(
        self, queue: str, groups: Collection[Group], along: Along, on_answer: OnAnswer
    ) -> "asyncio.Future[Submitted]":
        self.trips.append([call.id for group in groups for call in group.submissions])
        return super().post(queue, groups, along, on_answer)

    @override
    async def submit(
        self, queue: str, groups: Collection[Group], along: Along = ALONE
    ) -> Submitted:
        assert not self.is_closed, "a store that was closed is asked"
        self.asked.append([(call.id, call.nonce) for group in groups for call in group.submissions])
        self.carried.append([one.task_id for one in along.settlements])
        await self.answers.wait()
        await some_turns(self.slowness)
        answer = await super().submit(queue, groups, along)
        if self.loses_replies:
            await asyncio.Event().wait()
        if self.errors:
            raise self.errors.pop(0)
        changed: Submitted = self.changed(answer)
        return changed

    @override
    async def claim(self, queue: str, request: ClaimRequest) -> Grant:
        await asyncio.sleep(self.claims_take)
        return await super().claim(queue, request)

    @override
    async def close(self) -> None:
        self.is_closed = True


def manager_of(store: Posting, patience: float = 0.2) -> TaskQueueManager:
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    return TaskQueueManager(parts=parts, patience=patience)


@pytest.fixture
def store() -> Posting:
    return Posting()


@pytest.fixture
async def open_manager(store: Posting) -> AsyncIterator[TaskQueueManager]:
    async with manager_of(store) as one:
        yield one


@pytest.fixture
async def manager(open_manager: TaskQueueManager) -> TaskQueueManager:
    """It submits and doesn't work."""
    await open_manager.create_queue(QUEUE, work=False, functions=[jobs.echo])
    return open_manager


@pytest.fixture
async def working(open_manager: TaskQueueManager) -> TaskQueueManager:
    """It works too, so that claims go along with its submits."""
    await open_manager.create_queue(QUEUE, functions=[jobs.echo])
    return open_manager


def submit(manager: TaskQueueManager, task_id: str) -> Any:
    return manager.submit_task(task_id, "q", "t", jobs.echo)


# --- what goes out when


async def test_an_awaited_submit_goes_out_at_once_where_nothing_else_does(manager, store):
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(lambda: turns.append(len(store.trips)))
    await submit(manager, "lone")
    assert turns == [1]  # it had gone when the loop's next turn began


async def test_a_submit_that_nobody_awaits_yet_waits_for_what_else_comes_in_the_same_turn(
    manager, store
):
    first, second = submit(manager, "a"), submit(manager, "b")
    assert store.trips == []
    assert [info.task_id for info in (await first, await second)] == ["a", "b"]
    assert store.trips == [["a", "b"]]


async def test_submits_gathered_or_in_a_task_group_share_a_round_trip(manager, store):
    await asyncio.gather(*(submit(manager, f"g{n}") for n in range(5)))
    async with asyncio.TaskGroup() as group:
        for n in range(5):
            group.create_task(submit(manager, f"t{n}"))
    assert [len(trip) for trip in store.trips] == [5, 5]


async def test_of_many_who_await_in_one_turn_the_first_goes_alone_and_the_others_together(
    manager, store
):
    async def awaiting(task_id: str) -> TaskInfo:
        info: TaskInfo = await submit(manager, task_id)
        return info

    await asyncio.gather(*(awaiting(f"w{n}") for n in range(5)))
    assert [len(trip) for trip in store.trips] == [1, 4]


async def test_while_a_round_trip_is_on_its_way_an_awaited_submit_waits_for_the_loops_turn(
    manager, store
):
    store.answers.clear()
    first = asyncio.create_task(submit(manager, "first"))
    await asyncio.sleep(0)
    second, third = (asyncio.create_task(submit(manager, name)) for name in ("second", "third"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    store.answers.set()
    await asyncio.gather(first, second, third)
    assert store.trips == [["first"], ["second", "third"]]


async def test_submits_one_after_another_leave_the_loop_to_others(manager):
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    for n in range(50):
        await submit(manager, f"s{n}")
    beside.cancel()
    assert turns >= 50


async def test_awaiting_what_is_over_hurries_nobody_elses_submit(manager, store):
    over = submit(manager, "over")
    await over
    other = submit(manager, "other")
    await over
    assert store.trips == [["over"]]
    await other


# --- what goes along


def worker_of(manager: TaskQueueManager) -> Worker:
    assert manager._process is not None
    (worker,) = manager._process.workers.values()
    return worker


async def test_a_submit_after_another_carries_the_outcome_of_its_task(working, store):
    for task_id in ("a", "b", "c"):
        await submit(working, task_id)
    assert store.carried == [[], ["a"], ["b"]]


async def test_an_outcome_goes_by_itself_if_no_submit_follows(working, store):
    await submit(working, "a")
    await until(lambda: not worker_of(working).load(), "the outcome to be acknowledged")
    assert store.carried == [[]]
    await ended(working, "a")


@pytest.mark.parametrize("error", [Refused, Ambiguous])
async def test_an_outcome_goes_by_itself_once_the_submit_that_carried_it_is_given_up(
    working, store, error
):
    await submit(working, "a")
    store.errors = [error("no reply")] * 20
    told = await outcome(submit(working, "b"))
    assert isinstance(told, StoreUnavailableError | SubmitUncertainError)
    assert store.carried[1] == ["a"]
    store.errors.clear()
    await until(lambda: not worker_of(working).load(), "the slots to be free")
    await ended(working, "a")


# --- what callers are told


async def outcome(submitting: Awaitable[object]) -> object:
    """What a caller is told, as a value; nobody waits for ever."""
    async with asyncio.timeout(30):
        (told,) = await asyncio.gather(submitting, return_exceptions=True)
        return told


async def goes_on(manager: TaskQueueManager, task_id: str) -> bool:
    """The queue still takes submits, and runs them where it works at all."""
    assert (await submit(manager, task_id)).task_id == task_id
    if manager._process is not None and manager._process.workers:
        await ended(manager, task_id)
        await until(
            lambda: all(worker.is_idle for worker in manager._process.workers.values()),  # type: ignore[union-attr]  # it is there
            "slots and lanes to be free again",
        )
    return True


async def ended(manager: TaskQueueManager, task_id: str) -> None:
    async with asyncio.timeout(30):
        while (await manager.get_task_status(task_id)).status is not TaskStatus.COMPLETED:  # noqa: ASYNC110 - in a store
            await asyncio.sleep(0.005)


async def test_a_submit_that_is_on_its_way_at_an_impatient_shutdown_is_in_doubt(manager, store):
    store.answers.clear()
    submitting = asyncio.create_task(submit(manager, "doubtful"))
    await some_turns()
    assert store.trips == [["doubtful"]]
    await manager.shutdown(timeout=0)
    assert isinstance(await outcome(submitting), SubmitUncertainError)


async def test_a_submit_that_has_not_gone_out_at_an_impatient_shutdown_is_surely_not_stored(
    manager, store
):
    store.answers.clear()
    on_their_way = []
    for n in range(IN_FLIGHT):
        on_their_way.append(asyncio.create_task(submit(manager, f"sent-{n}")))
        await some_turns()
    waiting = asyncio.create_task(submit(manager, "waiting"))
    await some_turns()
    assert len(store.trips) == IN_FLIGHT
    await manager.shutdown(timeout=0)
    assert isinstance(await outcome(waiting), StoreUnavailableError)
    for each in on_their_way:
        assert isinstance(await outcome(each), SubmitUncertainError)


async def test_a_submit_without_an_answer_is_repeated_with_the_same_identity(working, store):
    for n in ENOUGH:
        store.asked.clear()
        store.errors = [Ambiguous("no reply"), Refused("still no reply")]
        assert (await submit(working, f"again-{n}")).task_id == f"again-{n}"
        assert len(store.asked) == 3
        assert store.asked[0] == store.asked[1] == store.asked[2]
    for n in ENOUGH:
        await ended(working, f"again-{n}")
    assert await goes_on(working, "next")


async def test_without_an_answer_for_as_long_as_it_is_patient_the_submit_is_in_doubt(
    working, store
):
    for n in ENOUGH:
        store.errors = [Ambiguous("no reply")] * 20
        told = await outcome(submit(working, f"lost-{n}"))
        assert isinstance(told, SubmitUncertainError)
        store.errors.clear()
    assert await goes_on(working, "next")


async def test_a_store_that_refuses_until_the_patience_is_over_has_surely_stored_nothing(
    manager, store, monkeypatch
):
    async def refusing(*_: object) -> None:
        raise Refused("full")

    with monkeypatch.context() as patched:
        patched.setattr(store, "submit", refusing)
        for _ in ENOUGH:
            assert isinstance(await outcome(submit(manager, "refused")), StoreUnavailableError)
    assert await goes_on(manager, "refused")


@pytest.mark.parametrize(
    "changed",
    [
        lambda answer: None,
        lambda answer: Submitted(outcomes=[], now_ms=answer.now_ms, grant=answer.grant),
        lambda answer: Submitted(
            outcomes=[*answer.outcomes] * 2, now_ms=answer.now_ms, grant=answer.grant
        ),
    ],
    ids=["nothing", "no outcome", "too many outcomes"],
)
async def test_an_answer_that_cannot_be_read_is_told_and_blocks_nobody(
    working, store, changed, caplog
):
    caplog.set_level(logging.CRITICAL, logger="kew")
    store.changed = changed
    for n in ENOUGH:
        assert isinstance(await outcome(submit(working, f"unread-{n}")), SubmitUncertainError)
    store.changed = lambda answer: answer
    assert await goes_on(working, "next")


async def test_a_bug_in_the_store_is_told_and_blocks_nobody(working, store, caplog):
    caplog.set_level(logging.CRITICAL, logger="kew")
    for n in ENOUGH:
        store.errors = [ValueError("a bug")]
        assert isinstance(await outcome(submit(working, f"bug-{n}")), SubmitUncertainError)
    assert await goes_on(working, "next")


async def test_a_submit_that_cannot_even_be_sent_is_told_and_blocks_nobody(
    working, store, monkeypatch, caplog
):
    caplog.set_level(logging.CRITICAL, logger="kew")

    def broken(*_: object) -> None:
        raise TypeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(store, "post", broken)
        for n in ENOUGH:
            assert isinstance(await outcome(submit(working, f"bug-{n}")), SubmitUncertainError)
    assert await goes_on(working, "next")


async def test_a_queue_that_the_store_forgot_is_declared_anew(working, store):
    for n in ENOUGH:
        await purged(store, "q")
        assert (await submit(working, f"kept-{n}")).task_id == f"kept-{n}"
        await ended(working, f"kept-{n}")
    assert await goes_on(working, "next")


# --- the patience


@pytest.fixture
def full_trips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Round trips of ten, so that some submits go out, and others wait for their turn."""
    monkeypatch.setattr(Outbox, "most_tasks", 10)


async def told(manager: TaskQueueManager, count: int) -> list[type[BaseException]]:
    """What callers are told who submit at the same moment; none may wait much longer than the patience."""
    async with asyncio.timeout(2):
        answers = await asyncio.gather(
            *(submit(manager, f"p{n}") for n in range(count)), return_exceptions=True
        )
    return [type(answer) for answer in answers]


@pytest.mark.usefixtures("full_trips")
async def test_callers_are_told_in_time_however_many_submits_are_ahead_of_theirs(manager, store):
    store.answers.clear()
    kinds = await told(manager, 200)
    sent = 10 * FULL_IN_FLIGHT
    assert kinds == [SubmitUncertainError] * sent + [StoreUnavailableError] * (200 - sent)
    store.answers.set()
    await submit(manager, "next")
    ids = {task_id for trip in store.trips for task_id in trip}
    assert ids == {f"p{n}" for n in range(sent)} | {"next"}


@pytest.mark.usefixtures("full_trips")
async def test_what_a_caller_was_told_is_not_stored_is_never_sent_again(manager, store):
    stored = store.submit

    async def refusing(*arguments: Any) -> Any:
        raise Refused("connection refused")

    store.submit = refusing
    kinds = await told(manager, 200)
    assert set(kinds) == {StoreUnavailableError}
    store.submit = stored
    await submit(manager, "next")
    known = [await store.do(Find([f"p{n}"])) for n in range(200)]
    assert known == [[None]] * 200


async def test_the_time_of_a_call_begins_with_the_call_and_not_with_its_round_trip(manager, store):
    await submit(manager, "first")
    store.answers.clear()
    early = asyncio.ensure_future(submit(manager, "early"))
    await asyncio.sleep(0.15)
    late = asyncio.ensure_future(submit(manager, "late"))
    async with asyncio.timeout(0.15):
        with pytest.raises(SubmitUncertainError):
            await early
    assert not late.done()
    store.answers.set()
    assert (await late).task_id == "late"


async def test_a_round_trip_is_repeated_for_its_most_patient_caller_wherever_that_one_stands_in_it(
    manager, store
):
    now, outbox = asyncio.get_running_loop().time(), Outbox("q", store, settler=None, restore=None)
    patient, hasty = (
        PieceAnswer(Group(submissions=(call(name),)), now + patience)
        for name, patience in (("patient", 5.0), ("hasty", 0.0))
    )
    store.errors = [Refused("out of memory")]

    outbox.send(patient)
    outbox.send(hasty)

    assert (await patient).is_stored
    with pytest.raises(Unanswered):
        await hasty


async def test_a_new_declaration_adds_nothing_to_the_patience(working, store):
    await purged(store, "q")
    do = store.do
    may_declare = asyncio.Event()

    async def slow(declare: Declare) -> Any:
        await may_declare.wait()
        return await do(declare)

    answer_instead(store, Declare, slow)
    assert await told(working, 1) == [StoreUnavailableError]
    may_declare.set()
    assert (await submit(working, "next")).task_id == "next"
    assert await store.do(Find(["p0"])) == [None]


async def test_an_announcement_that_is_not_answered_is_waited_for_within_the_patience(
    working, store
):
    async def unanswered(_: Announce) -> Any:
        await asyncio.Event().wait()

    answer_instead(store, Announce, unanswered)
    async with asyncio.timeout(30):
        with pytest.raises(StoreUnavailableError, match="nothing was stored"):
            await working.submit_task("n", "q", "t", jobs.fail)
        with pytest.raises(StoreUnavailableError, match="nothing was stored"):
            await working.submit_tasks(
                "q", [{"task_id": "n", "task_type": "t", "task_func": jobs.fail}]
            )


async def test_a_question_for_the_settings_is_waited_for_within_the_patience(manager, store):
    async def unanswered(_: ReadSettings) -> Any:
        await asyncio.Event().wait()

    answer_instead(store, ReadSettings, unanswered)
    async with asyncio.timeout(30):
        with pytest.raises(StoreUnavailableError, match="nothing was stored"):
            await manager.submit_task("n", "elsewhere", "t", jobs.echo, None, value=1)
        with pytest.raises(StoreUnavailableError, match="nothing was stored"):
            await manager.submit_tasks(
                "elsewhere", [{"task_id": "n", "task_type": "t", "task_func": jobs.echo}]
            )


# --- shutdowns that come in between


@pytest.mark.no_cover
@pytest.mark.parametrize("fault", [None, Ambiguous, ValueError])
@pytest.mark.parametrize("is_cancelled", [False, True])
@pytest.mark.parametrize("timeout", [0, 1])
@pytest.mark.parametrize("works", [False, True])
async def test_whatever_a_shutdown_meets_every_submit_ends_and_nothing_goes_on(
    fault, is_cancelled, timeout, works, caplog
):
    caplog.set_level(logging.CRITICAL, logger="kew")
    cancelled_after = (1, 2, 3, 4, 6, 9) if is_cancelled else [0]
    for slowness, before, after in itertools.product(range(9), range(5), cancelled_after):
        store = Posting(slowness)
        manager = manager_of(store, patience=0.06)  # it repeats once
        await manager.initialize()
        await manager.create_queue(QUEUE, work=works, functions=[jobs.echo])
        store.errors = [fault("a fault") for _ in range(50)] if fault else []
        submitting = [submit(manager, f"t-{n}") for n in range(3)]
        await some_turns(before)
        shutting_down = asyncio.create_task(manager.shutdown(timeout=timeout))
        await some_turns(after)
        if is_cancelled:
            shutting_down.cancel()
        await asyncio.gather(shutting_down, return_exceptions=True)
        await some_turns()
        left = [task for task in asyncio.all_tasks() if "Outbox" in repr(task)]
        assert not left, (slowness, before, after)
        for each in submitting:
            assert each.done(), (slowness, before, after)
            told = await outcome(each)
            assert isinstance(told, TaskInfo | StoreUnavailableError | SubmitUncertainError)


async def test_a_submit_that_finds_all_slots_reserved_reads_in_its_answer_that_work_waits(
    working, store, monkeypatch: pytest.MonkeyPatch
):
    notified: list[str] = []
    answers: list[bool] = []
    notify = store.namespace.hub.notify

    def noting(who: str, notice: Notice) -> bool:
        notified.append(who)
        delivered: bool = notify(who, notice)
        return delivered

    def note(answer: Submitted) -> Submitted:
        answers.append(answer.has_work)
        return answer

    monkeypatch.setattr(store.namespace.hub, "notify", noting)
    store.changed = note
    await some_turns(20)  # the worker's own first claim has its answer: it is idle
    store.claims_take = 0.02
    working._served["q"].worker.wake()
    await (
        some_turns()
    )  # a claim for all slots is on its way, and the store will see the submit first
    info = await submit(working, "task")
    handle = working.handle(info.task_id)
    assert await handle.result(timeout=30) is None
    assert answers == [True]
    assert notified == []


async def test_what_a_submit_brings_whose_answer_is_lost_to_a_shutdown_is_run_or_handed_back(
    open_manager, store
):
    await open_manager.create_queue(attrs.evolve(QUEUE, lease=15), functions=[jobs.echo])
    await some_turns(20)  # the worker's own first claim has its answer
    store.loses_replies = True
    store.claims_take = 0.05
    submitting = submit(open_manager, "granted")
    await some_turns(20)
    (granted,) = await store.do(Find(["granted"]))
    assert granted is not None
    assert granted.status is TaskStatus.PROCESSING
    await open_manager.shutdown(timeout=0)
    assert isinstance(await outcome(submitting), SubmitUncertainError)
    (left,) = await store.do(Find(["granted"]))
    assert left is not None
    assert left.status in (TaskStatus.QUEUED, TaskStatus.COMPLETED)


def test_what_ends_the_loop_in_a_tasks_first_step_leaves_no_submit_untold():
    """As with KeyboardInterrupt in a notebook, the loop goes on afterwards."""
    loop = asyncio.new_event_loop()
    manager = manager_of(Posting())
    submitting: list[Any] = []
    reported: list[Any] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    interrupted = 0

    async def interrupts() -> None:
        if TaskContext.current().attempt == 1:
            signal.raise_signal(signal.SIGINT)

    async def begin() -> None:
        await manager.initialize()
        await manager.create_queue(QUEUE, functions=[interrupts, jobs.echo])
        await asyncio.sleep(0.01)

    async def submit_all(n: int) -> None:
        calls = [manager.submit_task(f"i-{n}", "q", "t", interrupts), submit(manager, f"e-{n}")]
        submitting.extend(calls)
        await asyncio.gather(*calls)

    def run(work: Any) -> None:
        nonlocal interrupted
        task = loop.create_task(work)
        for _ in range(20):
            try:
                loop.run_until_complete(asyncio.wait([task], timeout=1))
                break
            except KeyboardInterrupt:
                interrupted += 1
        task.result()

    run(begin())
    for n in ENOUGH:
        run(submit_all(n))
    run(asyncio.sleep(0.05))
    assert interrupted
    assert [each.result().task_id for each in submitting] == [
        name for n in ENOUGH for name in (f"i-{n}", f"e-{n}")
    ]
    run(manager.shutdown(timeout=1))
    loop.close()
    gc.collect()
    assert reported == []  # such as an exception that was never retrieved
