"""`python -m tests.integration.sqlite_kills`: processes on one SQLite file, killed at any moment under load.

Some processes run tasks, and one submits them. What it was acknowledged, and what tasks did, is written to files
outside of the store. One process after another is killed by SIGKILL and replaced. In the end every acknowledged task
must have run to its end, and no run may have been repeated except those that a killed process had begun.

`--kills 0 --tasks 20000 --seconds 0` runs so many tasks without kills. The exit code is 1 if anything was lost or
doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs

from kew import QueueConfig, TaskQueueManager, TaskStatus
from tests.support.ledger import Entry, Ledger
from tests.support.workers import ROOT, Worker, Workers

SERVE: dict[str, Any] = {
    "name": "q",
    "max_workers": 20,
    "max_size": 1_000_000,
    "max_deliveries": 1_000,
}
SUBMITTER = """
import asyncio, os, sys
from kew import QueueConfig, TaskQueueManager
from tests.support import jobs

async def main(url, name, acknowledged, count, pause, longest):
    file = os.open(acknowledged, os.O_APPEND | os.O_WRONLY | os.O_CREAT)
    async with TaskQueueManager(url) as manager:
        await manager.create_queue(QueueConfig("q", max_size=1_000_000), work=False)
        print("ready", flush=True)

        async def submit(number):
            task_id = f"{name}-{number}"
            await manager.submit_task(task_id, "q", "test", jobs.work, None, seconds=longest * (number % 5) / 4)
            os.write(file, f"{task_id}\\n".encode())

        for first in range(0, count, 20):
            await asyncio.gather(*(submit(number) for number in range(first, min(first + 20, count))))
            await asyncio.sleep(pause)
    print("done", flush=True)

url, name, acknowledged, count, pause, longest = sys.argv[1:]
asyncio.run(main(url, name, acknowledged, int(count), float(pause), float(longest)))
"""


@attrs.define(eq=False)
class Run:
    """The processes on one file."""

    url: str
    folder: Path
    asked: argparse.Namespace
    workers: Workers
    running: list[Worker] = attrs.field(factory=list)
    submitters: int = 0
    killed: Counter[str] = attrs.field(factory=Counter)
    dead: dict[int, float] = attrs.field(factory=dict)  # by process id, when it was killed

    @property
    def acknowledged(self) -> list[str]:
        """The ids of tasks that a submit has returned."""
        path = self.folder / "acknowledged"
        return path.read_text().split() if path.exists() else []

    async def worker(self) -> Worker:
        """Another process that runs tasks."""
        serve = {**SERVE, "lease": self.asked.lease}
        return await self.workers.start(self.url, serve, manager={"tick": 0.5}, functions=["work"])

    async def submitter(self, count: int, pause: float) -> asyncio.subprocess.Process:
        """Another process that submits tasks."""
        self.submitters += 1
        name, path = f"s{self.submitters}", str(self.folder / "acknowledged")
        options = (str(count), str(pause), str(self.asked.seconds))
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SUBMITTER, self.url, name, path, *options),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert program.stdout is not None
        assert await program.stdout.readline() == b"ready\n"
        return program

    async def kill(self, count: int) -> None:
        """Kill processes while they are under load, the submitter as often as each of the others."""
        chance = random.Random(count)
        submitting = await self.submitter(1_000_000, 0.1)
        for number in range(count):
            await asyncio.sleep(chance.uniform(0.0, 0.3))
            if chance.randrange(len(self.running) + 1):
                victim = self.running.pop(chance.randrange(len(self.running)))
                await victim.kill()
                self.dead[victim.pid] = time.monotonic()
                self.killed["working"] += 1
                self.running.append(await self.worker())
            else:
                await _kill(submitting)
                self.killed["submitting"] += 1
                submitting = await self.submitter(1_000_000, 0.1)
            if number % 20 == 19:
                say(f"  {number + 1} kills")
        await _kill(submitting)


async def _kill(program: asyncio.subprocess.Process) -> None:
    program.send_signal(signal.SIGKILL)
    await program.communicate()


@attrs.frozen(kw_only=True)
class Report:
    """What came out."""

    killed: Counter[str]
    acknowledged: int
    stored: int
    ended: int
    lost: Sequence[str]
    starts: Sequence[Entry]
    doubled: Sequence[Entry]
    most_at_once: int
    is_sound: bool
    seconds: float

    @property
    def is_good(self) -> bool:
        """Nothing was lost, doubled or damaged, and the limit was kept."""
        return (
            not self.lost
            and not self.doubled
            and self.is_sound
            and self.most_at_once <= SERVE["max_workers"]
        )

    def __str__(self) -> str:
        working, submitting = self.killed["working"], self.killed["submitting"]
        repeated = len(self.starts) - self.stored
        lines = {
            "killed": f"{working} processes that ran tasks, {submitting} that submitted",
            "acknowledged": f"{self.acknowledged:,} tasks ({self.stored:,} were stored)",
            "ended": f"{self.ended:,} of them, within {self.seconds:,.0f} s",
            "lost": len(self.lost),
            "runs": f"{len(self.starts):,}; {repeated} repeated one of a killed process",
            "doubled otherwise": len(self.doubled),
            "most at once": f"{self.most_at_once} (limit {SERVE['max_workers']})",
            "integrity check": "ok" if self.is_sound else "FAILED",
        }
        return "\n".join(f"{name:18}{text}" for name, text in lines.items())


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def judged(run: Run, path: Path, began: float) -> Report:
    """Wait until every task has ended, and compare the store with what was written beside it."""
    async with TaskQueueManager(run.url) as manager:
        await manager.create_queue(QueueConfig(**SERVE, lease=run.asked.lease), work=False)
        await _all_ended(manager)
        seconds = time.monotonic() - began
        acknowledged = run.acknowledged
        found = [await manager.get_task_status(task_id) for task_id in acknowledged]
    entries = run.workers.ledger.entries()
    finished = {entry.task for entry in entries if entry.what == "end"}
    completed = {info.task_id for info in found if info.status is TaskStatus.COMPLETED}
    ended = completed & finished
    return Report(
        killed=run.killed,
        acknowledged=len(acknowledged),
        stored=_answer(path, "SELECT count(*) FROM tasks"),
        ended=len(ended),
        lost=sorted(set(acknowledged) - ended),
        starts=[entry for entry in entries if entry.what == "start"],
        doubled=doubled(entries, run.dead),
        most_at_once=most_at_once(entries, run.dead),
        is_sound=_answer(path, "PRAGMA integrity_check") == "ok",
        seconds=seconds,
    )


async def _all_ended(manager: TaskQueueManager) -> None:
    while True:
        status = await manager.get_queue_status("q")
        if not status["queued_tasks"] + status["current_workers"]:
            return
        await asyncio.sleep(0.2)


def doubled(entries: Sequence[Entry], dead: Collection[int]) -> list[Entry]:
    """The runs that followed one that was not of a killed process, or that had the number of another."""
    runs: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.what == "start":
            runs[entry.task].append(entry)
    found: list[Entry] = []
    for starts in runs.values():
        starts.sort(key=lambda entry: entry.attempt)
        for before, after in pairwise(starts):
            if before.pid not in dead or before.attempt == after.attempt:
                found.append(after)
    return found


def most_at_once(entries: Sequence[Entry], dead: Mapping[int, float]) -> int:
    """The most runs at one instant; a run that was killed lasted until the kill."""
    ends = {(one.task, one.attempt): one.at for one in entries if one.what == "end"}
    steps: list[tuple[float, int]] = []
    for one in entries:
        if one.what == "start":
            end = ends.get((one.task, one.attempt), dead.get(one.pid, one.at))
            steps += [(one.at, 1), (end, -1)]
    running = most = 0
    for _, step in sorted(steps):
        running += step
        most = max(most, running)
    return most


def _answer(path: Path, sql: str) -> Any:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchone()[0]


@contextlib.asynccontextmanager
async def processes(folder: Path, asked: argparse.Namespace) -> AsyncIterator[tuple[Run, Path]]:
    """A file in the folder, and the processes that run its tasks."""
    path = folder / "kew.db"
    url = f"sqlite://{path}?synchronous={asked.synchronous}"
    workers = Workers(Ledger(folder / "ledger"), folder)
    run = Run(url, folder, asked, workers)
    try:
        run.running += [await run.worker() for _ in range(asked.processes)]
        yield run, path
    finally:
        await workers.end()


async def main(asked: argparse.Namespace) -> int:
    """Run it, and print the report."""
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        async with processes(Path(name), asked) as (run, path):
            began = time.monotonic()
            if asked.kills:
                await run.kill(asked.kills)
            if asked.tasks:
                submitting = await run.submitter(asked.tasks, 0.0)
                await submitting.communicate()
            report = await judged(run, path, began)
    say(str(report))
    return 0 if report.is_good else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.integration.sqlite_kills")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=0, help="submit so many after the kills")
    parser.add_argument("--processes", type=int, default=3, help="that run tasks")
    parser.add_argument("--seconds", type=float, default=0.2, help="that the longest task takes")
    parser.add_argument("--lease", type=float, default=3.0, help="seconds")
    parser.add_argument("--synchronous", choices=["full", "normal"], default="full")
    parser.add_argument("--folder", help="on the disk that is to be used; default: a temporary one")
    return parser.parse_args()


if __name__ == "__main__":
    os.nice(5)
    sys.exit(asyncio.run(main(arguments())))
