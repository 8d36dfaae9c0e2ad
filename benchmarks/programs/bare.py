"""The yardstick: one EVALSHA of redis-py's asyncio client, of the size of kew's submit.

As many keys and arguments, of the same lengths, and a reply alike; the script stores the task's bytes
in a hash and does nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence
from typing import Any

import redis.asyncio
from peer import Peer, main
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

SCRIPT = (
    "redis.call('HSET', KEYS[1], ARGV[#ARGV - 2], ARGV[#ARGV]) "
    "return {1795352889156, {'done', ''}, false}"
)
PARTS = [
    "line1",
    "line2",
    "line3",
    "waiting1",
    "waiting2",
    "waiting3",
    "leases",
    "parked",
    "idle",
    "state",
]
ALONE = ["kew:tasks", *(f"kew:{{bench}}:{part}" for part in PARTS)]
# and with a claim, for which a worker's submit has more to name
WITH_CLAIM = [
    *ALONE,
    *(f"kew:{{bench}}:{part}" for part in ["ended", "hungry", "workers", "functions", "lanes"]),
]
ARGUMENTS = ["kew:to:", "bench"]
CLAIM = ["7e40672ab96343f2", "12", "345", "50", "10000", "1", "0", "100", "100"]


class Bare(Peer):
    """It submits and can do no more."""

    width = 40

    async def open(self, url: str) -> None:
        self.client = redis.asyncio.Redis.from_url(url, retry=Retry(NoBackoff(), 0))
        self.sha = await self.client.script_load(SCRIPT)

    async def work(self) -> None:
        """Nothing works here."""

    async def run_some(self, count: int) -> None:
        for n in range(count):
            await self.submit(n)

    def submit(self, n: object) -> Awaitable[Any]:
        return self.call(ALONE, ARGUMENTS, n)

    async def call(self, keys: Sequence[str], arguments: Sequence[str], n: object) -> Any:
        """The script, of that size."""
        record = b"2 7e40672ab96343f22 tasks:echo 6 24\n\x91\xa4echo\x92\x91%d\x80"
        rest = ["1", f"task-{n}", "+0", record]
        return await self.client.evalsha(self.sha, len(keys), *keys, *arguments, *rest)

    async def pick_up_one(self, n: int) -> float:
        called = time.perf_counter()
        await self.call(WITH_CLAIM, [*ARGUMENTS, *CLAIM], n)
        return time.perf_counter() - called


if __name__ == "__main__":
    main(Bare())
