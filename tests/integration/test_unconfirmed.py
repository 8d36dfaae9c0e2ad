"""While no replica confirms: nothing starts, nothing is lost by that, and the connections stay."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from kew import QueueConfig, TaskNotFoundError, TaskQueueManager
from kew.adapters.redis import durability
from kew.adapters.redis.route import Route
from tests.integration.conftest import Managers
from tests.support import jobs
from tests.support.asking import end_of, once, submit
from tests.support.lagging import Link, lagging_replica
from tests.support.ledger import Ledger
from tests.support.proxy import Proxy
from tests.support.redis_process import ProcessRedis, connect
from tests.support.redis_source import any_binary

CONFIRM_WITHIN = 1.0  # on a machine that may be busy: a replica that loads the library confirms nothing meanwhile
QUEUE = QueueConfig("q")


@attrs.define
class Pair:
    primary: ProcessRedis
    replica: ProcessRedis
    link: Link

    @property
    def url(self) -> str:
        return f"{self.primary.url}?durability=replicated"


@pytest.fixture
async def pair(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr(durability, "CONFIRM_WITHIN", CONFIRM_WITHIN)
    async with lagging_replica(any_binary()) as made:
        yield Pair(*made)


async def state_of(manager: TaskQueueManager, task: str) -> tuple[str, int, int]:
    """Its status, its attempt, and how many leases there are."""
    info = await manager.get_task_status(task)
    leases = (await manager.get_queue_status("q"))["current_workers"]
    return info.status.value, info.attempt, leases


async def is_idle(manager: TaskQueueManager) -> bool:
    worker = manager._served["q"].worker
    return worker is not None and worker.is_idle


async def started(ledger: Ledger) -> bool:
    return bool(ledger.entries("start"))


async def claimed_and_released(manager: TaskQueueManager, task: str) -> None:
    def is_so(state: tuple[str, int, int]) -> bool:
        assert state[0] in ("queued", "processing"), state
        return state[0] == "queued" and state[1] > 0 and state[2] == 0

    await once(functools.partial(state_of, manager, task), is_so)


async def both(
    pair: Pair, managers: Managers, queue: QueueConfig
) -> tuple[TaskQueueManager, TaskQueueManager]:
    """One that submits and needs no confirmation, and one that works and does."""
    plain, worker = await managers(pair.primary.url), await managers(pair.url)
    for manager in (worker, plain):
        manager.task(at_most_once=True)(jobs.work)
        await manager.create_queue(queue, work=manager is worker, functions=[jobs.work])
    return plain, worker


async def test_what_no_replica_confirms_is_released_and_runs_once_one_does(
    pair: Pair, managers: Managers, ledger: Ledger
):
    plain, worker = await both(pair, managers, QUEUE)
    await submit(plain, "before", jobs.work)
    await end_of(plain, "before")
    await once(
        functools.partial(is_idle, worker), bool
    )  # else a claim that brought nothing is repeated first
    pair.link.hold()
    await submit(plain, "once", jobs.work)
    await claimed_and_released(plain, "once")
    assert not ledger.entries("start", "once")
    pair.link.let_go()
    info = await end_of(plain, "once")
    assert info.status.value == "completed", info


async def test_a_batch_that_was_settled_with_an_unconfirmed_claim_is_settled_once(
    pair: Pair, managers: Managers, ledger: Ledger
):
    plain, _ = await both(pair, managers, attrs.evolve(QUEUE, max_workers=1))
    await submit(plain, "first", jobs.work, seconds=0.2)
    await submit(plain, "second", jobs.work)
    await once(functools.partial(started, ledger), bool)  # so its own claim is confirmed
    pair.link.hold()
    await claimed_and_released(plain, "second")
    pair.link.let_go()
    for task in ("first", "second"):
        info = await end_of(plain, task)
        assert (info.status.value, info.retry_count) == ("completed", 0), info
    assert ledger.path.read_text().count("start") == 2


async def test_connections_stay_and_one_warning_says_so(
    pair: Pair,
    managers: Managers,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    replaced: list[object] = []
    start = Route.start_generation

    def noted(route: Route, why: object) -> None:
        replaced.append(why)
        start(route, why)

    monkeypatch.setattr(Route, "start_generation", noted)
    worker = await managers(pair.url, tick=0.1)
    await worker.create_queue(QUEUE, functions=[jobs.work])
    with contextlib.closing(connect(pair.primary.url)) as client:
        kept = client_ids(client)
        pair.link.hold()

        async def asked() -> int:
            return int(client.info("commandstats")["cmdstat_wait"]["calls"])

        before = await asked()
        await once(asked, lambda calls: calls >= before + 6)
        assert kept <= client_ids(client)
    [finding] = [each for each in (await worker.diagnose()).findings if each.name == "durability"]
    assert (finding.verdict, "0 of 1 replicas have it" in finding.text) == ("failed", True)
    pair.link.let_go()
    await once(logged(caplog), lambda text: "confirms writes again, after " in text)
    assert caplog.text.count("confirms no writes: after 1 s, 0 of 1 replicas have it") == 1
    assert "repeating: " not in caplog.text
    assert not replaced


async def test_the_successor_of_a_primary_that_was_cut_off_is_found(pair: Pair, managers: Managers):
    async with Proxy(pair.primary.url, lambda _: None) as proxy:
        manager = await managers(f"{proxy.url}?durability=replicated", patience=60.0)
        await manager.create_queue(QUEUE, work=False, functions=[jobs.work])
        pair.link.hold()
        with contextlib.closing(connect(pair.replica.url)) as client:
            client.replicaof("NO", "ONE")
        proxy.target = pair.replica.url  # for new connections: nothing breaks the old ones
        submitted = asyncio.create_task(submit(manager, "a", jobs.work))
        after = await managers(pair.replica.url)

        async def is_there() -> bool:
            with contextlib.suppress(TaskNotFoundError):
                return bool(await after.get_task_status("a"))
            return False

        await once(is_there, bool)
        submitted.cancel()
        await asyncio.gather(submitted, return_exceptions=True)


def client_ids(client: Any) -> set[str]:
    return {each["id"] for each in client.client_list()}


def logged(caplog: pytest.LogCaptureFixture) -> Any:
    async def text() -> str:
        return caplog.text

    return text
