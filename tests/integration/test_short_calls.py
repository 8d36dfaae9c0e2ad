"""Redis does nothing else while it executes a call of kew, so each does a bounded amount of work.

What is measured is the processor time of Redis itself, which a busy machine changes little, with a wide margin.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import attrs
import pytest

from kew.adapters.redis import RedisStore, address
from kew.app.ports import (
    Announce,
    Declare,
    Extend,
    Find,
    Forget,
    ListFailed,
    ListGroups,
    Purge,
    ReadAttempts,
    ReplayAll,
    Running,
    Status,
    Sweep,
    Watch,
)
from kew.domain.config import Settings
from kew.domain.events import Failed, SettleEvent, Succeeded
from kew.domain.reports import Report
from kew.domain.requests import ClaimRequest, Group, LeaseRef, LifeRef, Settlement
from kew.domain.task import Submission, Task
from tests.conftest import PrivateRedis
from tests.support.redis_process import connect

Q = "orders"
MOST_MS = 50.0  # five times as long as a call may take on a quiet machine
A = TypeVar("A")


@attrs.define
class Load:
    """A store whose calls are measured. Each operation may take several calls, of which the average counts."""

    store: RedisStore
    client: Any
    longest: dict[str, float] = attrs.field(factory=dict)
    sequence: int = 0

    async def timed(self, name: str, operation: Awaitable[A]) -> A:
        calls, cpu = self._calls(), self._cpu_ms()
        answer = await operation
        spent = (self._cpu_ms() - cpu) / (self._calls() - calls)
        self.longest[name] = max(spent, self.longest.get(name, 0.0))
        return answer

    def _calls(self) -> int:
        return int(self.client.info("commandstats").get("cmdstat_fcall", {"calls": 0})["calls"])

    def _cpu_ms(self) -> float:
        used = self.client.info("cpu")
        return float(used["used_cpu_user_main_thread"] + used["used_cpu_sys_main_thread"]) * 1000

    async def submit(self, tasks: int, payload: bytes) -> None:
        """In pieces as large as kew makes them."""
        size = max(1, min(1000, 1024 * 1024 // (len(payload) + 256)))
        for start in range(0, tasks, size):
            calls = [call(n, payload) for n in range(start, min(tasks, start + size))]
            groups = [Group(submissions=tuple(calls))]
            await self.timed("submit", self.store.submit(Q, groups))

    async def claim_all(self, tasks: int) -> list[Task]:
        """As one process with a slot for each."""
        found: list[Task] = []
        while len(found) < tasks:
            request = self.request(tasks - len(found))
            grant = await self.timed("claim", self.store.claim(Q, request))
            assert grant.tasks
            assert len(found) + len(grant.tasks) == tasks or grant.wait_ms == 0
            found += grant.tasks
            again = await self.timed("repeated claim", self.store.claim(Q, request))
            assert again.tasks == grant.tasks
        return found

    def request(self, want: int) -> ClaimRequest:
        self.sequence += 1
        return ClaimRequest(
            incarnation="w1", lane=0, sequence=self.sequence, want=want, lease_ms=60_000
        )

    async def settle(self, tasks: Sequence[Task], event: SettleEvent) -> None:
        await self._settle([(task, event) for task in tasks])

    async def fail(self, tasks: Sequence[Task]) -> None:
        """For good."""
        await self._settle([(task, failed(n)) for n, task in enumerate(tasks)])

    async def _settle(self, pairs: Sequence[tuple[Task, SettleEvent]]) -> None:
        for start in range(0, len(pairs), 100):
            settlements = [
                Settlement(task_id=task.id, lease=task.lease, event=event)
                for task, event in pairs[start : start + 100]
            ]
            await self.timed("settle", self.store.settle(Q, settlements))


def failed(n: int) -> Failed:
    """As large as a failure may be, in one of 50 groups."""
    report = Report(
        group=f"KeyError@shop:f{n % 50}",
        kind="KeyError",
        message="m" * 1_000,
        traceback="t" * 4_000,
    )
    return Failed(error="e" * 4_000, retry_after_ms=None, report=report)


def call(n: int, payload: bytes) -> Submission:
    return Submission(
        id=f"t{n}", nonce=f"n{n}", task_type="t", function="f", payload=payload, priority=2
    )


@pytest.fixture
async def load(private_redis: PrivateRedis) -> AsyncIterator[Load]:
    server = private_redis()
    store = RedisStore(address(server.url))
    await store.open()
    settings = Settings(max_workers=100_000, max_size=1_000_000, breaker_failures=0)
    await store.do(Declare(Q, settings, "one"))
    await store.do(Announce(Q, "w1", ["f"], 600_000))
    with contextlib.closing(connect(server.url)) as client:
        yield Load(store, client)
    await store.close()


@pytest.mark.redis
@pytest.mark.parametrize(("tasks", "payload", "result"), [(4_000, 20, 20), (200, 200_000, 250_000)])
async def test_no_call_takes_long(load: Load, tasks: int, payload: int, result: int):
    await load.submit(tasks, b"p" * payload)
    running = await load.claim_all(tasks)
    refs = [LeaseRef(task.id, task.lease) for task in running]
    ids = [task.id for task in running[:250]]
    looks: list[tuple[str, Callable[[], Any]]] = [
        ("extend", lambda: Extend(Q, refs, 60_000)),
        ("running", lambda: Running(Q)),
        ("status", lambda: Status(Q)),
        ("find", lambda: Find(ids)),
        ("watch", lambda: Watch(Q, ids, "w1")),
    ]
    for name, operation in looks:
        await load.timed(name, load.store.do(operation()))
    await load.settle(running[: tasks // 2], Succeeded(b"r" * result))
    for name, operation in looks[3:]:
        found = await load.timed(name, load.store.do(operation()))
        assert len(found) == len(ids)
    dead = running[tasks // 2 :]
    await load.fail(dead)
    page = await load.timed("failed", load.store.do(ListFailed(Q, None, 100)))
    assert page is not None
    assert len(page.tasks) == 100
    refs_of_dead = [LifeRef(task.id, task.life) for task in dead]
    await load.timed("attempts", load.store.do(ReadAttempts(Q, refs_of_dead[:100])))
    await load.timed("groups", load.store.do(ListGroups(Q, "", 100)))
    half = min(100, len(dead) // 2)
    await load.timed("replay_all", load.store.do(ReplayAll(Q, refs_of_dead[:half])))
    await load.timed("forget", load.store.do(Forget(Q, refs_of_dead[half : 2 * half])))
    await load.timed("sweep", load.store.do(Sweep(Q, 200, 60_000, None)))
    await load.timed("purge", load.store.do(Purge(Q, "one")))
    assert {name: ms for name, ms in load.longest.items() if ms > MOST_MS} == {}
    assert set(load.longest) >= {"submit", "claim", "settle", "extend", "running", "purge"}


def commands_of(line: dict[str, Any]) -> list[str]:
    """The words of a command that MONITOR showed, lower case."""
    words: list[str] = line["command"].lower().split(" ")
    return words


@pytest.mark.redis
@pytest.mark.parametrize("others", [10, 600])
async def test_a_repeated_claim_reads_the_records_of_its_own_leases_alone(load: Load, others: int):
    await load.submit(others + 3, b"p" * 20)
    await load.claim_all(others)
    request = load.request(3)
    granted = await load.store.claim(Q, request)
    with load.client.monitor() as monitor:
        repeated = await load.store.claim(Q, request)
        load.client.ping()
        seen = []
        for line in monitor.listen():
            if line["client_type"] == "lua":
                seen.append(commands_of(line))
            elif commands_of(line) == ["ping"]:
                break
    assert repeated.tasks == granted.tasks
    records = [words[2:] for words in seen if words[0] == "hmget" and words[1] == "kew:tasks"]
    assert [len(ids) for ids in records] == [3]
    assert all("limit" in words for words in seen if words[0].startswith("zrange"))


@pytest.mark.redis
async def test_a_repeated_claim_finds_its_leases_by_whatever_ids(load: Load):
    """Ids are any text. A lane that an earlier version wrote has the sequence alone."""
    calls = [attrs.evolve(call(n, b""), id=f"a{n}\nb{n}") for n in range(3)]
    await load.store.submit(Q, [Group(submissions=tuple(calls))])
    request = load.request(3)
    granted = await load.store.claim(Q, request)
    assert len(granted.tasks) == 3
    assert (await load.store.claim(Q, request)).tasks == granted.tasks
    load.client.hset("kew:{orders}:lanes:w1", "0", "1")
    assert (await load.store.claim(Q, request)).tasks == granted.tasks
