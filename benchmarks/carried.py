"""`python -m benchmarks.carried`: the processor time and the bytes that a task takes of a Redis.

The workloads are those of `benchmarks.instructions`, at natural speed and at larger sizes. As there, each runs at two
sizes, and the difference belongs to the tasks alone. Bytes repeat anywhere; processor time only means something on a
machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from typing import Any, Final

import attrs

from benchmarks.instructions import BATCH, WORKLOADS, Workload
from tests.support.redis_process import ProcessRedis, connect
from tests.support.redis_source import any_binary

ROUNDS: Final = 3
HEADER: Final = "| per task | processor time of Redis, us | bytes to Redis | bytes from Redis |"


@attrs.frozen
class Taken:
    """What a run took: seconds, and bytes."""

    seconds: float
    bytes_in: int
    bytes_out: int


def taken(workload: Workload, tasks: int) -> Taken:
    """What a run of so many tasks takes of a Redis of its own."""
    server = ProcessRedis(binary=any_binary()).start()
    try:
        asyncio.run(workload.run(server.url, tasks))  # type: ignore[arg-type]  # it is a coroutine
        with contextlib.closing(connect(server.url)) as client:
            cpu: dict[str, Any] = client.info("cpu")
            stats: dict[str, Any] = client.info("stats")
    finally:
        server.stop()
    return Taken(
        cpu["used_cpu_user"] + cpu["used_cpu_sys"],
        stats["total_net_input_bytes"],
        stats["total_net_output_bytes"],
    )


def row(workload: Workload, scale: int) -> str:
    """A row of the table: the least of some rounds."""
    few, many = workload.sizes[0], workload.sizes[1] * scale
    rounds = [(taken(workload, few), taken(workload, many)) for _ in range(ROUNDS)]
    tasks = many - few
    cpu = min((more.seconds - less.seconds) / tasks for less, more in rounds)
    sent = min((more.bytes_in - less.bytes_in) / tasks for less, more in rounds)
    received = min((more.bytes_out - less.bytes_out) / tasks for less, more in rounds)
    with_less = f", {WORKLOADS[workload.less].title} included" if workload.less else ""
    return f"| {workload.title}{with_less} | {cpu * 1e6:.1f} | {sent:,.0f} | {received:,.0f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=10, help=f"at least {BATCH} tasks more")
    given = parser.parse_args()
    print(HEADER)
    print("| --- | --- | --- | --- |")
    for workload in WORKLOADS.values():
        print(row(workload, given.scale), flush=True)


if __name__ == "__main__":
    main()
