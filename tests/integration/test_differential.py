"""Two stores, one behaviour: the memory store and the Redis store are given the same random operations.

The short form is a Hypothesis state machine, which shrinks what it finds; the long form runs from a seed. A
difference found by either becomes a named test in tests/contracts. `KEW_DIFFERENTIAL_OPERATIONS` sets the length of the
long form, `KEW_DIFFERENTIAL_SEED` its seed: a failure tells both.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Announce, Declare, Purge, Submit
from kew.domain.config import Settings
from tests.conftest import VERSIONS
from tests.support.operations import HOUR_MS, KINDS, Operations
from tests.support.redis_source import RedisPool
from tests.support.scene import SteppedClock, group
from tests.support.stores import raw_client, redis_scene
from tests.support.twins import Twins

OPERATIONS = int(os.environ.get("KEW_DIFFERENTIAL_OPERATIONS", "50000"))
SEED = int(os.environ.get("KEW_DIFFERENTIAL_SEED", "1"))
BETWEEN_LOOKS = 200
OFTEN = 3
ENOUGH_TO_COUNT = 25_000

ANSWERS = {
    "submit": [
        *("done", "same", "duplicate", "full", "draining", "no_queue"),
        *("settled done", "settled same", "settled stale"),
    ],
    "claim": ["done", "same", "no_queue", "no_worker", "no_lane", "some", "none"],
    "settle": [
        *("done", "same", "stale", "grant done", "grant same", "grant no_worker"),
        *(f"to {status}" for status in ("completed", "failed", "retry", "queued", "cancelled")),
    ],
    "extend": ["done", "cancel", "stale"],
    "checkpoint": ["done", "cancel", "same", "stale"],
    "cancel": ["done", "cancel", "same", "ended", "missing"],
    "cancel_all": ["done", "same", "ended", "illegal", "missing"],
    "hasten": ["done", "same", "ended", "missing"],
    "replay": ["done", "same", "illegal", "missing"],
    "control": ["done", "same", "no_queue"],
    "empty": ["cancelled"],
    "override": ["done"],
    "failed": ["some", "none"],
    "waiting": ["some", "none"],
    "announce": ["done", "no_queue"],
    "explain": ["ended", "paused", "behind", "no_process"],
    "sweep": ["recovered", "removed", "expired", "orphaned", "departed"],
}


@contextlib.asynccontextmanager
async def twins(url: str, random: Random, label: str) -> AsyncIterator[Twins]:
    """Both stores, empty."""
    clock = SteppedClock()
    memory = MemoryStore(clock)
    client = raw_client(url)
    async with redis_scene(url) as redis:
        operations = Operations(random, memory.namespace, clock.now_ms)
        made = Twins(
            memory=memory,
            clock=clock,
            redis=redis,
            client=client,
            label=label,
            operations=operations,
            high_water=clock.now,
        )
        await made.listen()
        try:
            yield made
        finally:
            await redis.close()
            await made.published.aclose()
            await client.aclose()


@pytest.mark.no_cover
@pytest.mark.slow(60)
@pytest.mark.timeout(max(300, OPERATIONS // 200))
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_long_run_of_random_operations_ends_in_the_same_answers_and_the_same_state(
    redis_pool: RedisPool, version: str
):
    server = redis_pool.of_version(VERSIONS[version])
    server.clear()
    count = OPERATIONS // len(VERSIONS)
    seed = SEED + list(VERSIONS).index(version)
    label = f"KEW_DIFFERENTIAL_SEED={seed} KEW_DIFFERENTIAL_OPERATIONS={OPERATIONS} on {version}"
    async with twins(server.url, Random(seed), label) as pair:
        for step in range(1, count + 1):
            await pair.step(pair.operations.next())
            if step % BETWEEN_LOOKS == 0:
                await pair.compare_everything()
        await pair.compare_everything()
    if count >= ENOUGH_TO_COUNT:
        rare = {name: pair.counts[name] for name in expected() if pair.counts[name] < OFTEN}
        assert rare == {}, f"too seldom in {count} operations"


def expected() -> list[str]:
    """Every kind of operation and every answer."""
    kinds = [kind for kind in KINDS if kind != "repeat"]
    return kinds + [f"{kind}: {word}" for kind, words in ANSWERS.items() for word in words]


OFTEN_DRAWN = (*KINDS, *("submit", "claim", "claim", "settle", "advance") * 4)
BEGINNING = (
    Declare("a", Settings(max_workers=2, breaker_failures=2, breaker_reset_ms=500), "first"),
    Announce("a", "w0", ("f", "g"), HOUR_MS),
    Announce("a", "w1", ("f", "g"), HOUR_MS),
    Submit("a", tuple(group(f"first {n}", f"second {n}") for n in range(3))),
)


class Machine(RuleBasedStateMachine):
    """The same, one step at a time, with everything compared after each."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = contextlib.AsyncExitStack()
        self.pair: Twins = self.runner.run(self._start())

    async def _start(self) -> Twins:
        client = raw_client(self.url)
        await client.flushdb()
        await client.aclose()
        made = await self.stack.enter_async_context(twins(self.url, Random(0), "this example"))
        for operation in BEGINNING:
            await made.step(operation)
            if isinstance(operation, Announce):  # a process says again what it said before
                known = made.operations.announced
                known[operation.queue, operation.incarnation] = tuple(operation.functions)
        return made

    @rule(kind=st.sampled_from(OFTEN_DRAWN), random=st.randoms(use_true_random=False))
    def operate(self, kind: str, random: Random) -> None:
        self.runner.run(self._operate(kind, random))

    async def _operate(self, kind: str, random: Random) -> None:
        self.pair.operations.random = random
        step = self.pair.operations.of(kind)
        if isinstance(step, Purge):
            self.pair.raw = {}
        await self.pair.step(step)
        await self.pair.compare_everything(every_step=True)

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()


@pytest.mark.no_cover
@pytest.mark.timeout(600)  # shrinking takes its time
def test_no_short_sequence_of_operations_tells_the_stores_apart(redis_url: str):
    Machine.url = redis_url
    rules: Any = settings(
        max_examples=40,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=rules)
