"""`python -m benchmarks.shards`: two queues of a Cluster, on one node and on two, and the cores that they use.

The nodes are the limit, not this program: all calls are made before, each submits a batch, and every queue has a few of
them on their way at any time. Processor time repeats on a busy machine, but the time that passes only means something
on one that does nothing else, and has two cores at least.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from kew import QueueConfig, TaskQueueManager
from kew.adapters.redis.arguments import submit_arguments
from kew.adapters.redis.cluster import PartitionStore, connect
from kew.domain.partitions import mark_of, partition_of
from kew.domain.requests import Group
from kew.domain.task import QueuePriority, Submission
from tests.support.clusters import Cluster
from tests.support.redis_process import ProcessRedis
from tests.support.redis_process import connect as client_of
from tests.support.redis_source import any_binary

PARTITIONS: Final = 16
AT_ONCE: Final = 4  # calls of a queue
BATCH: Final = 200  # tasks, a call
HEADER: Final = "| two queues on | tasks | seconds | processor seconds of each node | cores used |"


@attrs.frozen
class Used:
    """What a run took: seconds, and those of each node's processor."""

    seconds: float
    of_nodes: tuple[float, ...]

    @property
    def cores(self) -> float:
        return sum(self.of_nodes) / self.seconds


@contextlib.contextmanager
def two_primaries(binary: Path) -> Iterator[Cluster]:
    """A Cluster of two primaries without replicas."""
    cluster = Cluster.start(binary, shards=2, replicas=0)
    try:
        yield cluster
    finally:
        cluster.stop()


def queues_of(cluster: Cluster, stores: Sequence[PartitionStore], nodes: int) -> list[str]:
    """Names of two queues in partitions of their own, which so many nodes serve together."""

    def place(name: str) -> tuple[int, ProcessRedis]:
        store = stores[partition_of(name, PARTITIONS)]
        return store.partition, cluster.owner_of(store.slot)

    first = "queue0"
    for name in (f"queue{n}" for n in itertools.count(1)):
        places = [place(first), place(name)]
        if places[0][0] != places[1][0] and len({id(node) for _, node in places}) == nodes:
            return [first, name]
    raise AssertionError("there are names enough")


def calls_of(store: PartitionStore, queue: str, tasks: int) -> list[bytes]:
    """Submits to the queue, ready to be sent."""
    made = []
    for first in range(0, tasks, BATCH):
        groups = [
            Group(
                submissions=(
                    Submission(
                        id=f"t{number}{mark_of(queue)}",
                        nonce=f"n{number}",
                        task_type="echo",
                        function="echo",
                        payload=b"1",
                        priority=int(QueuePriority.MEDIUM),
                    ),
                )
            )
            for number in range(first, first + BATCH)
        ]
        call = store.functions.make("submit_alone", queue, {}, submit_arguments(groups))
        made.append(call.packed)
    return made


async def used(cluster: Cluster, nodes: int, tasks: int) -> Used:
    """What two queues with so many tasks each use, on one node or on two."""
    url = f"{cluster.url}?partitions={PARTITIONS}"
    stores, _ = connect(url)
    queues = queues_of(cluster, stores, nodes)
    of_queues = [stores[partition_of(queue, PARTITIONS)] for queue in queues]
    pairs = list(zip(of_queues, queues, strict=True))
    calls = [calls_of(store, queue, tasks) for store, queue in pairs]
    async with TaskQueueManager(url) as manager:  # its connections are its own
        for queue in queues:
            await manager.create_queue(QueueConfig(queue, max_size=10_000_000), work=False)
        async with contextlib.AsyncExitStack() as stack:
            for store in stores:
                await store.open()
                stack.push_async_callback(store.close)
            before, began = cpu_seconds(cluster), asyncio.get_running_loop().time()
            await asyncio.gather(
                *(_send(store, iter(some)) for (store, _), some in zip(pairs, calls, strict=True))
            )
            seconds = asyncio.get_running_loop().time() - began
            after = cpu_seconds(cluster)
        for queue in queues:
            status = await manager.get_queue_status(queue)
            assert status["queued_tasks"] == tasks, status
    return Used(seconds, tuple(more - less for less, more in zip(before, after, strict=True)))


async def _send(store: PartitionStore, calls: Iterator[bytes]) -> None:
    async def send_next() -> None:
        for call in calls:
            await store.functions.work.call(call)

    await asyncio.gather(*(send_next() for _ in range(AT_ONCE)))


def cpu_seconds(cluster: Cluster) -> list[float]:
    """What each node has used so far, in user and kernel."""
    found = []
    for node in cluster.nodes:
        with contextlib.closing(client_of(node.url)) as client:
            info = client.info("cpu")
        found.append(float(info["used_cpu_user"]) + float(info["used_cpu_sys"]))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shards")
    parser.add_argument("--tasks", type=int, default=200_000, help="of each of the two queues")
    tasks = -(-parser.parse_args().tasks // BATCH) * BATCH
    print(HEADER)
    print("| --- | --- | --- | --- | --- |")
    for nodes in (1, 2):
        with two_primaries(any_binary()) as cluster:
            found = asyncio.run(used(cluster, nodes, tasks))
        of_nodes = ", ".join(f"{seconds:.1f}" for seconds in found.of_nodes)
        where = "1 node" if nodes == 1 else f"{nodes} nodes"
        print(
            f"| {where} | {2 * tasks:,} | {found.seconds:.1f} | {of_nodes} | {found.cores:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
