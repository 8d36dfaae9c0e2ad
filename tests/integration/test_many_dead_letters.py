"""10,000 dead letters in 30 groups, beside as many completed tasks: each call looks at a bounded number of them.

Redis counts the commands that a call makes; how many there are doesn't depend on what the queue holds.
"""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, TypeVar

import attrs
import pytest

from kew.adapters.redis import RedisStore, address
from kew.adapters.redis.library import Library
from kew.app.ports import Announce, Declare, Forget, ListFailed, ListGroups, ReplayAll, Sweep
from kew.domain.config import SHORTEST_TTL, Settings
from kew.domain.events import Failed, SettleEvent, Succeeded
from kew.domain.reports import Report
from kew.domain.requests import ClaimRequest, Group, LifeRef, Settlement, Word
from kew.domain.task import Submission, Task
from tests.conftest import PrivateRedis
from tests.support.redis_process import connect
from tests.support.scene import START_MS
from tests.support.stores import CLOCK_FROM_A_KEY, CLOCK_KEY

Q = "orders"
DEAD, COMPLETED, GROUPS, PAGE = 10_000, 10_000, 30, 100
A = TypeVar("A")


@attrs.define
class Counted:
    """A store, and the commands of each call that it makes of Redis."""

    store: RedisStore
    client: Any
    most: Counter[str] = attrs.field(factory=Counter)
    sequence: int = 0

    async def do(self, name: str, operation: Awaitable[A]) -> A:
        """The answer to an operation that takes one call."""
        self.client.config_resetstat()
        answer = await operation
        stats = self.client.info("commandstats")
        assert stats.get("cmdstat_fcall", {"calls": 0})["calls"] == 1, name
        commands = sum(each["calls"] for key, each in stats.items() if key != "cmdstat_fcall")
        self.most[name] = max(self.most[name], commands)
        return answer

    async def fill(self, ids: Sequence[str]) -> None:
        """These have ended, every other one for good."""
        for start in range(0, len(ids), 1_000):
            calls = tuple(map(call, ids[start : start + 1_000]))
            await self.store.submit(Q, [Group(submissions=calls)])
        for _ in range(0, len(ids), 200):
            self.sequence += 1
            request = ClaimRequest(
                incarnation="w1", lane=0, sequence=self.sequence, want=200, lease_ms=60_000
            )
            grant = await self.store.claim(Q, request)
            settled = [settlement(task) for task in grant.tasks]
            await self.store.settle(Q, settled)


def call(task_id: str) -> Submission:
    return Submission(
        id=task_id, nonce=f"n{task_id}", task_type="t", function="f", payload=b"p" * 50, priority=2
    )


def settlement(task: Task) -> Settlement:
    return Settlement(task_id=task.id, lease=task.lease, event=end_of(int(task.id)))


def end_of(n: int) -> SettleEvent:
    if n % 2:
        return Succeeded(b"done")
    report = Report(
        group=f"KeyError@shop:f{n // 2 % GROUPS:02}", kind="KeyError", traceback="t" * 500
    )
    return Failed(error=f"KeyError: {n}", retry_after_ms=None, report=report)


@pytest.fixture
async def counted(private_redis: PrivateRedis) -> AsyncIterator[Counted]:
    server = private_redis()
    store = RedisStore(address(server.url), library=Library({"now": CLOCK_FROM_A_KEY}))
    with contextlib.closing(connect(server.url)) as client:
        client.set(CLOCK_KEY, START_MS)
    await store.open()
    settings = Settings(max_workers=100_000, max_size=1_000_000, breaker_failures=0)
    await store.do(Declare(Q, settings, "one"))
    await store.do(Announce(Q, "w1", ["f"], 600_000))
    with contextlib.closing(connect(server.url)) as client:
        made = Counted(store, client)
        await made.fill([str(n) for n in range(DEAD + COMPLETED)])
        yield made
    await store.close()


async def all_groups(counted: Counted) -> Counter[str]:
    page = await counted.do("groups", counted.store.do(ListGroups(Q, "", 50)))
    assert page is not None
    assert page.after is None
    return Counter({group.name: group.count for group in page.groups})


async def pages(counted: Counted, group: str | None = None) -> AsyncIterator[list[Task]]:
    after, is_last = None, False
    while not is_last:
        operation = ListFailed(Q, after, PAGE, group)
        page = await counted.do("list", counted.store.do(operation))
        assert page is not None
        after, is_last = page.after, page.after is None
        yield list(page.tasks)


@pytest.mark.redis
@pytest.mark.slow
@pytest.mark.no_cover
async def test_each_call_makes_a_bounded_number_of_commands(counted: Counted):
    groups = await all_groups(counted)
    assert len(groups) == GROUPS
    assert sum(groups.values()) == DEAD
    listed = 0
    async for tasks in pages(counted):
        listed += len(tasks)
    assert listed == DEAD

    (name, count), (other, others) = groups.most_common(2)
    replayed = 0
    async for tasks in pages(counted, name):
        refs = [LifeRef(task.id, task.life) for task in tasks]
        words = await counted.do("replay", counted.store.do(ReplayAll(Q, refs)))
        replayed += list(words).count(Word.DONE)
    assert replayed == count
    async for tasks in pages(counted, other):
        refs = [LifeRef(task.id, task.life) for task in tasks]
        await counted.do("purge", counted.store.do(Forget(Q, refs)))
    left = await all_groups(counted)
    assert left == groups - Counter({name: count, other: others})

    counted.client.set(CLOCK_KEY, START_MS + round(SHORTEST_TTL * 1000))
    most = Settings(
        max_workers=100_000, max_size=1_000_000, breaker_failures=0, max_dead_letters=5_000
    )
    await counted.store.do(Declare(Q, most, "two"))
    while (await counted.do("sweep", counted.store.do(Sweep(Q, 200, 60_000, None)))).more:
        pass
    assert sum((await all_groups(counted)).values()) == 5_000
    assert counted.most["list"] <= 2 * PAGE + 20
    assert counted.most["groups"] <= 5 * GROUPS + 10
    assert counted.most["replay"] <= 2 * PAGE + 50
    assert counted.most["purge"] <= 2 * PAGE + 20
    assert counted.most["sweep"] <= 5 * 200 + 50
