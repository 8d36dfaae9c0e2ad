"""Functions of which there is one task of a key at a time."""

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from kew import (
    Debounce,
    InvalidConfigError,
    InvalidTaskError,
    Latest,
    QueueConfig,
    TaskAlreadyExistsError,
    TaskQueueManager,
    Throttle,
    Unique,
    UniqueTaskError,
)
from kew.testing import SimulatedManager, simulated


@pytest.fixture
async def manager():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", max_size=3000))
        await manager.pause_queue("q")
        yield manager


def odd(value: Any) -> Any:
    """What a type checker would refuse."""
    return value


async def test_a_submit_joins_the_task_of_its_key(manager):
    @manager.task(queue="q", name="index", unique=Unique(by="doc"))
    async def index(doc: int, force: bool = False) -> int:
        return doc * 2

    first, second, other = [await index.submit(n) for n in (1, 1, 2)]
    assert [one.created for one in (first, second, other)] == [True, False, True]
    assert second.task_id == first.task_id
    info = await manager.submit_task("own", "q", "index", index, None, 1)
    assert info.task_id == first.task_id
    await manager.resume_queue("q")
    assert await second.result(timeout=5) == 2
    assert (await index.submit(1)).created


async def test_keys_are_names_tuples_and_functions_of_the_arguments(manager):
    async def work(a: int, b: int = 0) -> None: ...

    for number, (by, same) in enumerate(
        [(None, (7, 8)), ("b", (9,)), (("a", "b"), (1,)), (lambda a, b=0: a % 2, (3,))]
    ):
        task = manager.task(queue="q", name=f"work{number}", unique=Unique(by))(work)
        made = await task.submit(1)
        assert (await task.submit(*same)).task_id == made.task_id
        manager._registry._by_function.clear()
        manager._registry._by_name.clear()


async def test_functions_do_not_share_keys(manager):
    @manager.task(queue="q", name="one", unique=Unique(by="n"))
    async def one(n: int) -> None: ...

    @manager.task(queue="q", name="other", unique=Unique(by="n"))
    async def other(n: int) -> None: ...

    assert (await one.submit(1)).created
    assert (await other.submit(1)).created


async def test_a_call_whose_key_is_none_is_as_any_other(manager):
    @manager.task(queue="q", name="work", unique=Unique(by="n"))
    async def work(n: int | None) -> None: ...

    assert [(await work.submit(None)).created for _ in range(2)] == [True, True]


async def test_a_conflict_is_raised_with_the_handle_of_the_holder(manager):
    @manager.task(queue="q", name="work", unique=Unique(conflict="raise"))
    async def work() -> int:
        return 7

    first = await work.submit()
    with pytest.raises(UniqueTaskError, match="holds the unique key") as caught:
        await work.submit()
    assert isinstance(caught.value, TaskAlreadyExistsError)
    await manager.resume_queue("q")
    assert caught.value.task_id == first.task_id
    assert await caught.value.handle.result(timeout=5) == 7


async def test_the_newest_arguments_replace_those_of_a_waiting_task(manager):
    @manager.task(
        queue="q", name="index", unique=Unique(by="doc", until="started", conflict="replace")
    )
    async def index(doc: int, text: str) -> str:
        return text

    handles = [await index.submit(1, text) for text in ("a", "b", "c")]
    assert [handle.created for handle in handles] == [True, False, False]
    await manager.resume_queue("q")
    assert {await handle.result(timeout=5) for handle in handles} == {"c"}


async def test_a_task_is_not_replayed_while_another_holds_its_key(manager):
    @manager.task(queue="q", name="work", unique=Unique())
    async def work() -> None: ...

    first = await work.submit()
    await first.cancel()
    second = await work.submit()
    with pytest.raises(UniqueTaskError, match="another task holds its unique key"):
        await manager.replay_task(first)
    await second.cancel()
    assert await manager.replay_task(first)


async def test_one_submit_may_be_unique(manager):
    @manager.task(queue="q", name="work")
    async def work(n: int) -> None: ...

    once = work.options(unique=Unique(by="n", until=60))
    assert [(await once.submit(1)).created for _ in range(2)] == [True, False]
    assert (await work.submit(1)).created
    with pytest.raises(InvalidTaskError, match="by='m' names no argument"):
        await work.options(unique=Unique(by="m")).submit(1)


async def test_a_batch_names_the_tasks_that_its_calls_met(manager):
    @manager.task(queue="q", name="work", unique=Unique(by="n"))
    async def work(n: int) -> None: ...

    before = await work.options(task_id="before").submit(1)
    entries = [{"task_func": work, "task_id": f"t{n}", "args": [n]} for n in (1, 2)]
    twins = [{"task_func": work, "task_id": "twin", "args": [2]}]
    infos = await manager.submit_tasks("q", entries + twins)
    assert [info.task_id for info in infos] == ["before", "t2", "t2"]
    assert infos.existing == (before.task_id,)
    refused = work.options(unique=Unique(by="n", conflict="raise"))
    with pytest.raises(UniqueTaskError):
        await refused.submit(2)


@simulated
async def test_a_throttled_function_runs_once_in_its_time(manager: SimulatedManager):
    await manager.create_queue(QueueConfig("q"))
    ran = []

    @manager.task(queue="q", throttle=Throttle(by="doc", every=30))
    async def index(doc: int) -> None:
        ran.append(manager.clock.now())

    for _ in range(7):
        await index.submit(1)
        await manager.advance(10)
    await manager.drain()
    assert [b - a for a, b in pairwise(ran)] == [timedelta(seconds=30)] * 2


@simulated
async def test_a_debounced_function_runs_when_it_has_been_quiet_with_the_last_arguments(
    manager: SimulatedManager,
):
    await manager.create_queue(QueueConfig("q"))
    ran = []

    @manager.task(queue="q", debounce=Debounce(by="doc", quiet=5, at_most=60))
    async def index(doc: int, text: str) -> None:
        ran.append((text, manager.clock.now() - began))

    began = manager.clock.now()
    for n in range(5):
        await index.submit(1, f"text {n}")
        await manager.advance(2)
    await manager.drain()
    assert ran == [("text 4", timedelta(seconds=13))]
    with pytest.raises(InvalidTaskError, match="a debounced call is due when it has been quiet"):
        await index.options(defer_by=3).submit(1, "later")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Unique(conflict=odd("keep")), "conflict is one of 'join', 'raise', 'replace'"),
        (lambda: Unique(until=odd("ended")), "until is 'started', 'finished', seconds"),
        (lambda: Unique(until=0), "until takes seconds or a timedelta, more than 0"),
        (lambda: Throttle(every=-1), "every takes seconds"),
        (lambda: Debounce(quiet=5, at_most=4), "at_most of Debounce can't be less than quiet"),
    ],
)
def test_impossible_values_are_refused(make, reason):
    with pytest.raises(InvalidConfigError, match=reason):
        make()


def test_a_function_has_one_kind_of_uniqueness(manager):
    async def work(n: int) -> None: ...

    both = {"unique": Unique(), "throttle": Throttle(every=timedelta(seconds=1))}
    with pytest.raises(
        InvalidConfigError, match="give one of unique, debounce, throttle and latest"
    ):
        manager.task(**both)(work)
    with pytest.raises(InvalidConfigError, match="unique takes Unique"):
        manager.task(unique="n")(work)
    with pytest.raises(InvalidConfigError, match="by='m' names no argument"):
        manager.task(unique=Unique(by="m"))(work)


async def test_a_closure_is_not_unique(manager):
    unique = Unique()
    work = manager.task(queue="q", unique=unique)(lambda: None)
    with pytest.raises(InvalidTaskError, match="can't be unique"):
        await work.submit()


async def test_a_key_that_cannot_be_found_is_an_error_of_the_submit(manager):
    @manager.task(queue="q", name="work", unique=Unique(by=lambda n: n["x"]))
    async def work(n: dict[str, int]) -> None: ...

    with pytest.raises(InvalidTaskError, match="its unique key can't be found: KeyError"):
        await work.submit({})


async def test_of_latest_one_runs_and_one_waits_with_the_newest_arguments(manager):
    started, going_on, ran = asyncio.Event(), asyncio.Event(), []

    @manager.task(queue="q", name="deploy", latest=Latest(by="repo"))
    async def deploy(repo: str, commit: int) -> int:
        ran.append(commit)
        started.set()
        await going_on.wait()
        return commit

    await manager.resume_queue("q")
    first = await deploy.submit("shop", 1)
    await started.wait()
    waiting = [await deploy.submit("shop", commit) for commit in (2, 3, 4)]
    assert [one.created for one in waiting] == [True, False, False]
    assert {one.task_id for one in waiting} == {waiting[0].task_id}
    assert (await deploy.submit("page", 7)).created
    why = await manager.explain(waiting[0])
    assert "as many as Latest allows" in str(why)
    assert first.task_id in str(why)
    going_on.set()
    assert await waiting[0].result(timeout=5) == 4
    assert [commit for commit in ran if commit != 7] == [1, 4]


async def test_latest_has_the_key_of_its_tasks(manager):
    async def deploy(repo: str | None) -> None: ...

    with pytest.raises(InvalidConfigError, match="key of their own"):
        manager.task(queue="q", key="repo", latest=Latest(by="repo"))(deploy)
    plain = manager.task(queue="q", name="plain")(deploy)
    with pytest.raises(InvalidTaskError, match="key of their own"):
        await plain.options(latest=Latest(by="repo"), key="a").submit("shop")
    with pytest.raises(InvalidTaskError, match="that of a Latest"):
        await plain.options(key="latest:a").submit("shop")
    first, second = [await plain.options(latest=Latest("repo")).submit("shop") for _ in range(2)]
    assert (first.created, second.created) == (True, False)
    assert (await manager.get_task_status(first.task_id)).key == "latest:plain/shop"
    kept = plain.options(latest=Latest("repo"), key="a")
    assert (await kept.submit(None)).created
