"""`python -m benchmarks.instructions`: how many instructions redis-server executes for a task.

Callgrind counts them, so a busy machine changes nothing: the same code, Redis and processor architecture give the same
figures to a percent. Each workload runs at two sizes, and the difference belongs to the tasks alone: starting Redis,
loading the library and connecting cancel out. `--check` compares with the committed table and fails when a figure has
grown by more than its tolerance; `--save` writes the table. With `--cluster`, the server is the only node of a Cluster,
which may be compared with the table, but isn't saved there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import redis

from kew import PerKey, QueueConfig, TaskQueueManager
from kew.adapters.redis.library import genuine_library
from tests.support.redis_process import LOOPBACK, binary_version, connect, free_port
from tests.support.redis_source import any_binary

TABLE: Final = Path(__file__).parent / "instructions.json"
TOLERANCE: Final = 0.03
SHARED_TOLERANCE: Final = 0.1  # timing decides how many settles and claims share a call
BATCH: Final = 1_000  # tasks, which one round trip can carry
READY_SECONDS: Final = 60.0  # under callgrind Redis starts slowly
COLLECTED = re.compile(r"Collected\s*:\s*(\d+)")
QUIET: Final = (
    "--save",
    "",
    "--appendonly",
    "no",
    "--hz",
    "1",
    "--dynamic-hz",
    "no",
    "--activerehashing",
    "no",
    # Under callgrind a call may take 10 ms: whether it is logged as slow, which costs too, would depend on the machine.
    "--slowlog-log-slower-than",
    "-1",
)
QUEUE: Final = QueueConfig(
    "instructions", max_workers=50, max_size=10_000_000, max_circuit_breaker_failures=None
)
KEYED: Final = attrs.evolve(QUEUE, per_key=PerKey(max_workers=40))
KEYS: Final = 1_000


async def _echo(n: int) -> int:
    return n


# --- the workloads


async def submit_alone(url: str, tasks: int) -> None:
    """Submit one task after another from a process that doesn't work."""
    async with TaskQueueManager(url) as manager:
        await manager.create_queue(QUEUE, work=False, functions=[_echo])
        for n in range(tasks):
            await manager.submit_task(f"t{n}", QUEUE.name, "echo", _echo, None, n)


async def submit_batch(url: str, tasks: int, queue: QueueConfig = QUEUE) -> None:
    """Submit batches, each of one round trip.

    A larger one is several, which are sent at once. One that overtakes the one before it is sent again, and how many do
    so is a matter of timing: the figure would vary by a third.
    """
    async with TaskQueueManager(url) as manager:
        await manager.create_queue(queue, work=False, functions=[_echo])
        for first in range(0, tasks, BATCH):
            calls = [_call(first + n) for n in range(BATCH)]
            if queue.per_key:
                calls = [{**each, "_key": f"key-{n % KEYS}"} for n, each in enumerate(calls)]
            await manager.submit_tasks(queue.name, calls)


async def batch_and_drain(url: str, tasks: int, queue: QueueConfig = QUEUE) -> None:
    """Submit batches, then let another process run them."""
    await submit_batch(url, tasks, queue)
    async with TaskQueueManager(url) as manager:
        await manager.create_queue(queue, functions=[_echo])
        await _until_idle(manager)


async def submit_and_run(url: str, tasks: int) -> None:
    """Submit one task after another from the process that runs them."""
    async with TaskQueueManager(url) as manager:
        await manager.create_queue(QUEUE, functions=[_echo])
        for n in range(tasks):
            await manager.submit_task(f"t{n}", QUEUE.name, "echo", _echo, None, n)
        await _until_idle(manager)


def _call(n: int) -> dict[str, Any]:
    return {"task_id": f"t{n}", "task_type": "echo", "task_func": _echo, "args": (n,)}


async def _until_idle(manager: TaskQueueManager) -> None:
    """A graceful shutdown would release what waits, so wait for the queue to be empty: a few looks in all."""
    while True:
        status = await manager.get_queue_status(QUEUE.name)
        if not status["queued_tasks"] and not status["current_workers"]:
            return
        await asyncio.sleep(1)


@attrs.frozen(kw_only=True)
class Workload:
    """What to run, and at which two sizes. `less`: the workload whose cost per task is not part of the figure.

    `tolerance`: the share by which the figure may exceed the table's. `is_asked_for`: it runs only if it is named.
    """

    title: str
    run: Callable[[str, int], Awaitable[None]]
    sizes: tuple[int, int]
    less: str = ""
    tolerance: float = TOLERANCE
    is_asked_for: bool = False


WORKLOADS: Final[Mapping[str, Workload]] = {
    "submit_alone": Workload(title="lone submit", run=submit_alone, sizes=(200, 1_200)),
    "submit_batch": Workload(
        title="submit in a batch",
        run=submit_batch,
        sizes=(4_000, 20_000),
    ),
    "drain": Workload(
        title="drain: claim, run, settle",
        run=batch_and_drain,
        sizes=(2_000, 6_000),
        less="submit_batch",
        tolerance=SHARED_TOLERANCE,
    ),
    "submit_and_run": Workload(
        title="submit, run and settle in one process",
        run=submit_and_run,
        sizes=(200, 1_200),
    ),
    "submit_keys": Workload(
        title=f"submit in a batch, {KEYS:,} keys",
        run=partial(submit_batch, queue=KEYED),
        sizes=(2_000, 6_000),
        is_asked_for=True,
    ),
    "drain_keys": Workload(
        title=f"drain, {KEYS:,} keys",
        run=partial(batch_and_drain, queue=KEYED),
        sizes=(2_000, 6_000),
        less="submit_keys",
        tolerance=SHARED_TOLERANCE,
        is_asked_for=True,
    ),
}


# --- counting


@attrs.frozen(kw_only=True)
class Count:
    """What Redis did in one run, or for one task."""

    instructions: float
    calls: float  # of kew's functions
    notifications: float

    def minus(self, other: Count, tasks: int = 1) -> Count:
        """The difference, for each of so many tasks."""
        return Count(
            instructions=(self.instructions - other.instructions) / tasks,
            calls=(self.calls - other.calls) / tasks,
            notifications=(self.notifications - other.notifications) / tasks,
        )


class CountedRedis:
    """A redis-server under callgrind, on loopback and a free port."""

    def __init__(self, binary: Path, folder: Path, *, is_node: bool = False) -> None:
        self._port = free_port()
        self._is_node = is_node
        self.url = self._server_url = f"redis://{LOOPBACK}:{self._port}"
        options: tuple[str, ...] = QUIET
        if is_node:
            self.url = f"redis+cluster://{LOOPBACK}:{self._port}/?partitions=1"
            options = (*QUIET, "--cluster-enabled", "yes", "--cluster-port", str(free_port()))
        self._log = folder / "callgrind.txt"
        command = [
            *("valgrind", "--tool=callgrind", f"--log-file={self._log}"),
            *("--callgrind-out-file=/dev/null", str(binary)),
            *("--port", str(self._port), "--bind", LOOPBACK, "--dir", str(folder), *options),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """End it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    async def until_ready(self) -> None:
        """Return once it answers."""
        async with asyncio.timeout(READY_SECONDS):
            while not self._answers():
                if self._process.poll() is not None:
                    raise RuntimeError(f"redis-server under callgrind: {self._log.read_text()}")
                await asyncio.sleep(0.2)
        # On a busy machine it would take longer than a manager waits.
        with closing(
            redis.Redis.from_url(self._server_url, socket_timeout=READY_SECONDS)
        ) as client:
            client.function_load(genuine_library().text)
            if self._is_node:
                await _become_whole_cluster(client)

    def _answers(self) -> bool:
        with closing(connect(self._server_url)) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def count(self) -> Count:
        """End it, and say what it did."""
        with closing(connect(self._server_url)) as client:
            stats = client.info("commandstats")
            client.shutdown(nosave=True)
        self._process.wait(timeout=READY_SECONDS)
        found = COLLECTED.search(self._log.read_text())
        if found is None:
            raise RuntimeError(f"callgrind counted nothing: {self._log.read_text()}")
        return Count(
            instructions=int(found[1]),
            calls=_calls(stats, "fcall"),
            notifications=_calls(stats, "spublish" if self._is_node else "publish"),
        )


async def _become_whole_cluster(client: Any) -> None:
    """Serve all slots."""
    client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":  # noqa: ASYNC110 - only Redis knows when
        await asyncio.sleep(0.2)


def _calls(stats: Mapping[str, Any], command: str) -> int:
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


@contextmanager
def counted_redis(binary: Path, *, is_node: bool) -> Iterator[CountedRedis]:
    """One for one run."""
    with tempfile.TemporaryDirectory(prefix="kew-instructions-") as folder:
        server = CountedRedis(binary, Path(folder), is_node=is_node)
        try:
            yield server
        finally:
            server.kill()


async def _counted(workload: Workload, tasks: int, binary: Path, *, is_node: bool) -> Count:
    with counted_redis(binary, is_node=is_node) as server:
        await server.until_ready()
        await workload.run(server.url, tasks)
        return server.count()


async def measured(names: list[str], binary: Path, *, is_node: bool = False) -> dict[str, Count]:
    """The figures of these workloads for one task, and of those that they are compared with."""
    found: dict[str, Count] = {}
    for name in names:
        workload = WORKLOADS[name]
        if workload.less and workload.less not in found:
            found |= await measured([workload.less], binary, is_node=is_node)
        small, large = workload.sizes
        few, many = [
            await _counted(workload, size, binary, is_node=is_node) for size in workload.sizes
        ]
        per_task = many.minus(few, large - small)
        found[name] = per_task.minus(found[workload.less]) if workload.less else per_task
        print(_line(workload.title, found[name]), flush=True)
    return found


# --- telling


def _line(title: str, count: Count, known: Mapping[str, float] | None = None) -> str:
    line = (
        f"{title:<40} {count.instructions:>11,.0f} instructions"
        f" {count.calls:>6.2f} calls {count.notifications:>6.2f} notifications"
    )
    return f"{line}  {count.instructions / known['instructions'] - 1:+.1%}" if known else line


def _machine(binary: Path) -> str:
    """What the figures depend on."""
    return f"Redis {binary_version(binary)}, {platform.machine()}"


def _grown(found: Mapping[str, Count], table: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [
        _line(WORKLOADS[name].title, count, table[name])
        for name, count in found.items()
        if name in table
        and count.instructions > table[name]["instructions"] * (1 + WORKLOADS[name].tolerance)
    ]


def _check(found: Mapping[str, Count], machine: str) -> None:
    """Fail when a figure has grown since the table was saved."""
    tables = json.loads(TABLE.read_text())
    if machine not in tables:
        print(f"not compared: there is no table for {machine}, only for {', '.join(tables)}")
        return
    grown = _grown(found, tables[machine])
    if grown:
        raise SystemExit("\n".join(["these figures have grown by more than they may:", *grown]))


def _save(found: Mapping[str, Count], machine: str) -> None:
    tables = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    figures = {
        name: {key: round(value, 2) for key, value in attrs.asdict(count).items()}
        for name, count in found.items()
    }
    tables[machine] = tables.get(machine, {}) | figures
    TABLE.write_text(json.dumps(tables, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("workload", nargs="*", help=f"of {', '.join(WORKLOADS)}; default all")
    parser.add_argument("--check", action="store_true", help="compare with the committed table")
    parser.add_argument("--save", action="store_true", help="write the table")
    parser.add_argument("--cluster", action="store_true", help="as the only node of a Cluster")
    asked = parser.parse_args()
    if asked.cluster and asked.save:
        parser.error("the table is of single servers")
    unknown = set(asked.workload) - set(WORKLOADS)
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}")
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed (Debian: apt-get install valgrind)")
    logging.getLogger("kew").setLevel(logging.ERROR)
    binary = any_binary()
    machine = _machine(binary)
    print(f"== {machine}")
    names = asked.workload or [name for name, each in WORKLOADS.items() if not each.is_asked_for]
    found = asyncio.run(measured(names, binary, is_node=asked.cluster))
    if asked.check:
        _check(found, machine)
    if asked.save:
        _save(found, machine)


if __name__ == "__main__":
    main()
