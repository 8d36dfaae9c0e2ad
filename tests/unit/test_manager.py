"""A manager's own life: beginning twice, beginning in vain, ending."""

import asyncio
import inspect
import math
import warnings
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import pytest

from kew import (
    InvalidConfigError,
    InvalidTaskError,
    QueueConfig,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskAlreadyExistsError,
    TaskContext,
    TaskFailedError,
    TaskInfo,
    TaskQueueError,
    TaskQueueManager,
)
from kew.adapters.clocks import SystemClock
from kew.adapters.codecs import MessagePackCodec
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Declare, Find, Operation, Purge, Queues, Refused, Submitted
from kew.app.working.worker import CANCEL_GRACE
from kew.bootstrap import Parts
from kew.compat import override
from kew.domain.errors import QueueNotFoundError
from kew.domain.requests import ALONE, Along, ClaimRequest, Group
from kew.shutdown import GRACE
from kew.testing import SimulatedManager, run
from tests.support import jobs

A = TypeVar("A")


class Moody(MemoryStore):
    """A store that counts how often it is opened and closed, and purges and answers when it wants to."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.opened = self.closed = 0
        self.purges = self.answers = self.declares = True
        self.delay = 0.0

    @override
    async def open(self) -> None:
        await asyncio.sleep(0)
        self.opened += 1

    @override
    async def close(self) -> None:
        self.closed += 1

    @override
    async def do(self, operation: Operation[A]) -> A:
        if isinstance(operation, Declare) and not self.declares:
            await asyncio.sleep(0.05)
            raise Refused("not now")
        if isinstance(operation, Purge) and not self.purges:
            raise Refused("not now")
        return await super().do(operation)

    @override
    async def submit(
        self, queue: str, groups: Collection[Group], along: Along = ALONE
    ) -> Submitted:
        await asyncio.sleep(self.delay if self.answers else 3600)
        return await super().submit(queue, groups, along)


def over(store: Moody, **options: Any) -> TaskQueueManager:
    wakeup = MemoryWakeup(store.namespace.hub)
    return TaskQueueManager(parts=Parts(store=store, wakeup=wakeup), **options)


async def test_initializing_twice_at_once_begins_once():
    store = Moody()
    manager = over(store)
    await asyncio.gather(manager.initialize(), manager.initialize())
    assert (store.opened, store.closed) == (1, 0)
    await manager.shutdown()


async def test_a_start_that_could_not_clean_has_not_begun_and_may_be_tried_again():
    store = Moody()
    async with over(store) as earlier:
        await earlier.create_queue(QueueConfig("q"))
    store.purges = False
    manager = over(store, cleanup_on_start=True)
    with pytest.raises(StoreUnavailableError):
        await manager.initialize()
    assert store.opened == store.closed
    store.purges = True
    await manager.initialize()
    assert await store.do(Queues()) == []
    await manager.shutdown()


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_submit_beside_a_create_queue_that_fails_is_not_run_by_a_worker_that_never_began(
    is_known: bool,
):
    store = Moody()
    ran: list[int] = []

    async def work() -> None:
        ran.append(1)

    async with over(store) as manager, over(store) as other:
        if is_known:
            await other.create_queue(QueueConfig("q"), work=False)
        store.declares = False
        creating = asyncio.create_task(manager.create_queue(QueueConfig("q")))
        await asyncio.sleep(0.01)
        submitting = manager.submit_task("t", "q", "t", work)
        with pytest.raises(StoreUnavailableError):
            await creating
        store.declares = True
        if is_known:
            assert (await submitting).task_id == "t"
        else:
            with pytest.raises(QueueNotFoundError):
                await submitting
            assert await store.do(Find(["t"])) == [None]
        await asyncio.sleep(0.05)
        assert ran == []
        await manager.create_queue(QueueConfig("q"))
        await manager.submit_task("another", "q", "t", work)
        for task_id in ("t", "another") if is_known else ("another",):
            info = await manager.get_task_status(task_id)
            await manager.handle(info).result(timeout=30)


async def test_a_submit_without_an_answer_is_given_up_at_shutdown_and_its_caller_told():
    store = Moody()
    manager = over(store)
    async with over(store) as other, manager:
        await other.create_queue(QueueConfig("q"), work=False)
        store.answers = False
        submitting = asyncio.create_task(manager.submit_task("t", "q", "test", jobs.echo))
        await asyncio.sleep(0.05)
        await manager.shutdown(timeout=0.1)
        with pytest.raises(SubmitUncertainError):
            await asyncio.wait_for(submitting, 5)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


@pytest.mark.parametrize("answers", [True, False], ids=["answering store", "silent store"])
@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.1])
async def test_a_shutdown_that_is_cancelled_on_its_way_lets_go_of_everything(
    seconds: float, answers: bool
):
    """At first it waits for submits, then for the task that runs."""
    store, began = Moody(), asyncio.Event()

    async def never_end() -> None:
        began.set()
        await asyncio.Event().wait()

    manager = over(store)
    await manager.initialize()
    await manager.create_queue(QueueConfig("q"))
    await manager.submit_task("t", "q", "test", never_end)
    await began.wait()
    handle = manager.handle(await manager.get_task_status("t"))
    waiting = asyncio.create_task(handle.result())
    store.answers, store.delay = answers, 0.05
    submitting = asyncio.create_task(manager.submit_task("u", "q", "test", never_end))
    await asyncio.sleep(0.01)
    ending = asyncio.create_task(manager.shutdown(timeout=60))
    await asyncio.sleep(seconds)
    ending.cancel()
    await asyncio.wait([ending], timeout=2)
    assert ending.cancelled()
    assert store.opened == store.closed == 1
    with pytest.raises(TaskQueueError):
        await waiting
    await asyncio.gather(submitting, return_exceptions=True)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await manager.shutdown()  # there is nothing more to do


async def test_a_claim_says_how_many_leases_its_process_goes_on_with():
    """A lease counts until its outcome was acknowledged, but not in the claim that goes with that outcome."""
    may_end, held = asyncio.Event(), list[tuple[int, int]]()

    class Noting(Moody):
        """Notes what each claim says, and how many leases the store knows then."""

        @override
        def _claim(self, known: Any, request: ClaimRequest, now: int) -> Any:
            held.append((request.holds, known.indexed.held()))
            return super()._claim(known, request, now)

    async def wait() -> None:
        await may_end.wait()

    store = Noting()
    async with over(store) as manager:
        await manager.create_queue(QueueConfig("q", max_workers=9))
        infos = [await manager.submit_task(f"t{n}", "q", "test", wait) for n in range(5)]
        may_end.set()
        for info in infos:
            await manager.handle(info).result(timeout=30)
    assert (4, 4) in held
    assert all(says == knows for says, knows in held)


@pytest.mark.parametrize("turns", range(1, 40))
async def test_a_shutdown_cancelled_at_any_moment_leaves_nothing_behind(turns: int):
    store = Moody()
    manager = over(store)
    await manager.initialize()
    await manager.create_queue(QueueConfig("q"))
    ending = asyncio.create_task(manager.shutdown())
    for _ in range(turns):
        await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait([ending])
    assert store.opened == store.closed == 1
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


@pytest.mark.parametrize("timeout", ["5", [], math.nan, object(), -1, True])
async def test_shutdown_refuses_a_timeout_that_is_none_and_goes_on(timeout: Any):
    async with over(Moody()) as manager:
        await manager.create_queue(QueueConfig("q"))
        with pytest.raises(InvalidConfigError, match="timeout must be 0 or more seconds"):
            await manager.shutdown(timeout=timeout)
        task = await manager.submit_task("t", "q", "test", jobs.echo)
        assert await manager.handle(task).result(timeout=30) is None


@pytest.mark.parametrize("timeout", [None, 0, 0.5, 10**400, math.inf])
async def test_shutdown_takes_any_number_of_seconds_and_none(timeout: float | None):
    store = Moody()
    manager = over(store)
    await manager.initialize()
    await manager.create_queue(QueueConfig("q"))
    await manager.shutdown(timeout=timeout)
    assert store.opened == store.closed == 1


def test_shutdown_takes_no_longer_in_all_than_it_was_given():
    """On simulated time: a submit without an answer, a run and a hook without an end share one timeout."""

    async def story(_: SimulatedManager) -> None:
        store, loop = Moody(), asyncio.get_running_loop()

        async def never_end(*_: object) -> None:
            await asyncio.Event().wait()

        manager = over(store, on_task_complete=never_end)
        await manager.initialize()
        await manager.create_queue(QueueConfig("q"))
        for task_id, function in (("done", jobs.echo), ("running", never_end)):
            await manager.submit_task(task_id, "q", "test", function)
        await asyncio.sleep(1)
        store.answers = False
        submitting = asyncio.create_task(manager.submit_task("u", "q", "test", jobs.echo))
        await asyncio.sleep(1)
        asked_at = loop.time()
        await manager.shutdown(timeout=10)
        assert 10 <= loop.time() - asked_at <= 10 + CANCEL_GRACE + 2 * GRACE
        with pytest.raises(SubmitUncertainError):
            await submitting

    run(story)


async def test_shutdown_waits_for_submits_to_queues_that_others_declared():
    store = Moody()
    manager = over(store)
    async with over(store) as other, manager:
        await other.create_queue(QueueConfig("q"), work=False)
        store.delay = 0.2
        submitting = asyncio.create_task(manager.submit_task("t", "q", "test", jobs.echo))
        await asyncio.sleep(0.05)
        await manager.shutdown()
        assert submitting.done()
        assert (await other.get_task_status("t")).status == "queued"


async def test_cleaning_announces_no_process_that_only_submits():
    async with over(Moody()) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        await manager.cleanup()
        assert (await manager.get_queue_status("q"))["processes"] == []


async def failing() -> None:
    raise ValueError("always")


async def test_a_breaker_that_opens_is_told(caplog: pytest.LogCaptureFixture):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("shaky", max_circuit_breaker_failures=2))
        fail = manager.task(queue="shaky")(failing)
        for _ in range(2):
            handle = await fail.submit()
            with pytest.raises(TaskFailedError):
                await handle.result(timeout=30)
    told = [r.getMessage() for r in caplog.records if "circuit breaker opens" in r.getMessage()]
    assert len(told) == 1
    assert "shaky" in told[0]


async def test_a_mistyped_defer_is_refused():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        with pytest.raises(InvalidTaskError, match="_defer_byy"):
            await manager.submit_task("t", "q", "t", failing, None, _defer_byy=3)


async def test_polling_a_status_without_a_pause_lets_the_task_run():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        await manager.submit_task("t", "q", "t", failing)
        async with asyncio.timeout(30):
            while (await manager.get_task_status("t")).status != "failed":
                pass


async def test_a_handle_can_be_had_for_any_task():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        info = await manager.submit_task("t", "q", "echo", jobs.echo, None, 7)
        assert await manager.handle(info).result(timeout=30) == 7


async def test_who_waits_for_a_result_is_told_of_the_shutdown():
    manager = TaskQueueManager("memory://")
    await manager.initialize()
    await manager.create_queue(QueueConfig("q"))
    info = await manager.submit_task("t", "q", "echo", jobs.echo, None, 7, _defer_by=3600)
    waiter = asyncio.create_task(manager.handle(info).result(timeout=30))
    await asyncio.sleep(0.05)
    await manager.shutdown()
    with pytest.raises(TaskQueueError, match="shut down"):
        await waiter


async def coroutine_of() -> None:
    """Whose call is no function."""


@pytest.mark.parametrize(
    ("function", "priority", "words"),
    [
        (coroutine_of, None, "pass the function and its arguments, not the call"),
        ("digest", None, "pass the function and its arguments, not the call"),
        (jobs.echo, 7, r"priority must be HIGH \(1\), MEDIUM \(2\) or LOW \(3\), not 7"),
    ],
    ids=["a call", "a name", "a wrong priority"],
)
@pytest.mark.parametrize("is_batch", [False, True], ids=["one", "a batch"])
async def test_what_is_wrong_with_a_task_is_told_with_its_id(
    function: Any, priority: Any, words: str, is_batch: bool
):
    given: Any = function() if function is coroutine_of else function
    entry = {"task_id": "t", "task_type": "x", "task_func": given, "priority": priority}
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        with warnings.catch_warnings(), pytest.raises(InvalidTaskError, match=words) as caught:
            warnings.simplefilter("error")
            if is_batch:
                await manager.submit_tasks("q", [entry])
            else:
                await manager.submit_task("t", "q", "x", given, priority)
    assert (caught.value.task_id, caught.value.accepted) == ("t", ())
    if given is not function:
        assert inspect.getcoroutinestate(given) == inspect.CORO_CLOSED


async def test_a_batch_that_has_an_id_twice_says_so():
    entry = {"task_id": "t", "task_type": "x", "task_func": jobs.echo}
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        with pytest.raises(TaskAlreadyExistsError, match="'t' appears twice in this batch"):
            await manager.submit_tasks("q", [entry, entry])


async def test_an_option_among_a_batch_entrys_arguments_is_told_where_it_belongs():
    entry = {"task_id": "t", "task_type": "x", "task_func": jobs.echo, "kwargs": {"_defer_by": 5}}
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        with pytest.raises(InvalidTaskError, match="in a batch put it beside 'kwargs'"):
            await manager.submit_tasks("q", [entry])


@pytest.mark.parametrize(
    "beside",
    [{"redis_url": "redis://elsewhere"}, {"namespace": "mine"}, {"codec": MessagePackCodec()}],
    ids=lambda beside: next(iter(beside)),
)
def test_what_parts_bring_themselves_is_not_taken_beside_them(beside: dict[str, Any]):
    with pytest.raises(InvalidConfigError, match=f"{next(iter(beside))} would be ignored"):
        over(Moody(), **beside)


async def test_a_manager_that_was_shut_down_says_so_and_what_to_do():
    manager = TaskQueueManager("memory://")
    for task_id, words in (
        ("a", "not initialized"),
        ("b", "was shut down.*create its queues again"),
    ):
        with pytest.raises(TaskQueueError, match=words):
            await manager.submit_task(task_id, "q", "t", jobs.echo)
        await manager.initialize()
        await manager.create_queue(QueueConfig("q"))
        await manager.submit_task(task_id, "q", "t", jobs.echo)
        await manager.shutdown()


@pytest.mark.parametrize("option", ["retry_on", "give_up_on"])
@pytest.mark.parametrize("kinds", [ValueError, (ValueError,)], ids=["a class", "a tuple"])
async def test_a_queue_and_a_task_take_one_class_of_errors_as_except_does(option: str, kinds: Any):
    async with TaskQueueManager("memory://") as manager:
        given: Any = {"retry_delay": 0, option: kinds}
        await manager.create_queue(QueueConfig("by-queue", max_retries=1, **given))
        await manager.create_queue(QueueConfig("by-task"))
        by_task = manager.task(queue="by-task", max_retries=1, **given)(failing)
        infos = [
            await manager.submit_task("t", "by-queue", "t", fail_too),
            (await by_task.submit()).info,
        ]
        for info in infos:
            with pytest.raises(TaskFailedError, match="ValueError: always") as caught:
                await manager.handle(info).result(timeout=30)
            assert cast("TaskInfo", caught.value.info).retry_count == (option == "retry_on")


async def fail_too() -> None:
    raise ValueError("always")


async def test_after_a_clean_up_fencing_tokens_begin_anew():
    async def token() -> int:
        return TaskContext.current().fencing_token

    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        tokens = []
        for task_id in ("a", "b", "c"):
            info = await manager.submit_task(task_id, "q", "t", token)
            tokens.append(await manager.handle(info).result(timeout=30))
            if task_id == "b":
                await manager.cleanup()
        assert tokens == [1, 2, 1]


# --- what a person sees of it


async def test_it_says_where_its_store_is_and_what_it_does_there():
    manager = TaskQueueManager("memory://there", namespace="shop")
    text = "<TaskQueueManager memory://there, namespace 'shop', "
    assert repr(manager) == f"{text}not initialized>"
    await manager.initialize()
    await manager.create_queue(QueueConfig("mails"))
    await manager.create_queue(QueueConfig("orders"))
    assert repr(manager) == f"{text}initialized, queues mails, orders>"
    await manager.shutdown()
    assert repr(manager) == f"{text}shut down>"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://ada:s3cret@redis.local:6380/2", "redis://redis.local:6380/2"),
        ("rediss://:s3cret@redis.local", "rediss://redis.local:6379"),
        ("redis://redis.local?password=s3cret", "redis://redis.local:6379"),
        ("unix://ada:s3cret@/tmp/redis.sock?db=1", "unix:///tmp/redis.sock/1"),
    ],
)
def test_it_says_no_password(url: str, address: str):
    text = repr(TaskQueueManager(url))
    assert text == f"<TaskQueueManager {address}, namespace 'kew', not initialized>"


def test_parts_of_ones_own_are_named_by_their_store():
    parts = Parts(
        store=(store := MemoryStore(SystemClock())), wakeup=MemoryWakeup(store.namespace.hub)
    )
    assert repr(TaskQueueManager(parts=parts)) == "<TaskQueueManager MemoryStore, not initialized>"


def test_completion_offers_what_is_documented_and_nothing_else():
    offered = {name for name in dir(TaskQueueManager("memory://")) if not name.startswith("_")}
    assert offered == {
        *("schedules", "periodic", "forget", "resource", "around"),
        *("get_task_arguments", "initialize", "shutdown", "cleanup", "queues", "loop_lag"),
        *("create_queue", "create_queues", "delete_queue", "pause_queue", "resume_queue"),
        *("queue", "drain_queue", "purge_queue", "set_overrides", "overrides", "remove_overrides"),
        *("explain", "get_queue_names", "get_queue_status", "register", "task"),
        *("submit_task", "submit_tasks", "submit_sync", "handle", "get_task_status"),
        *("get_ongoing_tasks", "get_tasks", "cancel_task", "replay_task", "failed_tasks"),
        *("dead_letters", "dead_letter_groups", "purge_dead_letter"),
        *("replay_dead_letters", "purge_dead_letters"),
        *("record_failure", "reset_breaker", "open_breaker", "new_task_id"),
        *("unreadable_tasks", "remove_unreadable_task", "diagnose", "processes", "health"),
        *("namespace", "store_address", "queue_history", "queue_settings"),
        *("set_key_limit", "key_limits", "remove_key_limit"),
        *("get_queue_statuses", "queue_histories", "breaker_history", "run_task_now"),
    }


# --- a queue's name that is misspelt


def misspelt(caplog: pytest.LogCaptureFixture) -> list[str]:
    texts = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return [text for text in texts if "did you mean" in text]


async def test_a_misspelt_queue_is_noticed_when_the_right_one_is_created(caplog):
    async with TaskQueueManager("memory://") as manager:
        manager.task(queue="mials", name="send")(jobs.echo)
        manager.task(queue="orders-2", name="order")(jobs.work)
        await manager.create_queue(QueueConfig("orders-1"))
        assert misspelt(caplog) == []
        await manager.create_queue(QueueConfig("mails"))
        [text] = misspelt(caplog)
        assert "queue='mials'" in text
        assert "did you mean 'mails'?" in text


async def test_a_misspelt_queue_is_noticed_when_the_function_is_decorated_later(caplog):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("mails"))
        manager.task(queue="mails")(jobs.echo)
        manager.task()(jobs.work)
        assert misspelt(caplog) == []
        manager.task(queue="mailss")(jobs.echo)
        assert len(misspelt(caplog)) == 1


@pytest.mark.parametrize("function", [jobs.echo, lambda: None])
async def test_a_submit_to_a_misspelt_queue_suggests_the_right_one(function: Any):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("mails"))
        work = manager.task(queue="mials")(function)
        with pytest.raises(TaskQueueError, match="did you mean 'mails'"):
            await work.submit()
        with pytest.raises(TaskQueueError, match="did you mean 'mails'"):
            await manager.submit_tasks(
                "mials", [{"task_id": "a", "task_type": "t", "task_func": function}]
            )


async def test_a_question_about_a_misspelt_queue_suggests_the_right_one():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("mails"))
        for question in (
            manager.get_queue_status,
            manager.pause_queue,
            manager.resume_queue,
            manager.delete_queue,
        ):
            with pytest.raises(QueueNotFoundError, match="did you mean 'mails'"):
                await question("mials")


# --- one name for each option


async def test_a_batch_takes_its_options_with_and_without_the_underscore():
    until = datetime(2999, 1, 1, tzinfo=UTC)
    entry = {"task_type": "t", "task_func": jobs.echo}
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        tasks: list[dict[str, Any]] = [
            {"task_id": "a", "defer_by": 3600, "token": "a1", **entry},
            {"task_id": "b", "_defer_by": 3600, "_token": "b1", **entry},
            {"task_id": "c", "defer_until": until, **entry},
            {"task_id": "d", "_defer_until": until, **entry},
        ]
        infos = await manager.submit_tasks("q", tasks)
        again = await manager.submit_tasks("q", tasks[:2])  # by its token, each is the same task
        assert [info.task_id for info in again] == [info.task_id for info in infos[:2]]
        assert (await manager.get_queue_status("q"))["queued_tasks"] == 4
        for wrong, text in (
            ({"defer_by": 1, "_defer_by": 1}, "'defer_by' twice"),
            ({"defer": 1}, "has the unknown key 'defer'; did you mean 'defer_by'"),
        ):
            with pytest.raises(InvalidTaskError, match=text):
                await manager.submit_tasks("q", [{"task_id": "e", **entry, **wrong}])


async def test_a_function_takes_its_timeout_by_the_name_that_a_queue_has_for_it():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        for option in ({"timeout": 0.02}, {"task_timeout": 0.02}):
            options: Any = option
            work = manager.task(queue="q", **options)(asyncio.sleep)
            with pytest.raises(TaskFailedError, match=r"timed out after 0\.02 s"):
                await (await work.submit(60)).result(timeout=30)


async def test_an_option_under_another_name_is_answered_with_the_one_that_was_meant():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        work = manager.task(queue="q")(asyncio.sleep)
        for unknown, meant in (("after", "defer_by"), ("eta", "defer_until"), ("id", "task_id")):
            options: Any = {unknown: 1}
            with pytest.raises(
                TypeError, match=f"no option '{unknown}'; .*; did you mean '{meant}'"
            ):
                work.options(**options)
        with pytest.raises(InvalidTaskError, match=r"write submit_task\(\.\.\., _defer_by="):
            await manager.submit_task("t", "q", "t", asyncio.sleep, None, 0, defer_by=5)


def test_an_unknown_argument_is_answered_with_the_one_that_was_meant():
    for unknown, meant in (
        ("url", "redis_url"),
        ("host", "redis_url"),
        ("on_task_failed", "on_task_fail"),
    ):
        arguments: Any = {unknown: 1}
        with pytest.raises(TypeError, match=f"no argument '{unknown}'; did you mean '{meant}'"):
            TaskQueueManager(**arguments)
    assert "redis_url" in inspect.signature(TaskQueueManager).parameters
