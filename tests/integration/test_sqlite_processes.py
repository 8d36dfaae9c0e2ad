"""Several processes on one SQLite file: killed at any moment, and notified by each other.

`KEW_KILLS` scales the tests that kill, as in `test_processes.py`: an eighth of it is made here.
"""

import asyncio
import os
import random
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from kew import QueueConfig, TaskQueueManager, TaskStatus
from kew.adapters.sqlite.notifying import Outgoing
from kew.app.notices import Notice, StopAsked, TaskEnded, Woken
from tests.integration.conftest import Managers
from tests.integration.sqlite_kills import doubled, most_at_once
from tests.support import jobs
from tests.support.asking import end_of, status_once, submit
from tests.support.ledger import Entry, Ledger
from tests.support.workers import ROOT, Workers

KILLS = max(2, int(os.environ.get("KEW_KILLS", "20")) // 8)
SERVE: dict[str, Any] = {"name": "q", "lease": 1.0, "max_workers": 3}
TICK = {"manager": {"tick": 0.5}}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/kew.db?synchronous=normal"


@pytest.mark.slow(15)
async def test_kills_of_workers_lose_no_task_and_repeat_only_what_they_held(
    url: str, managers: Managers, workers: Workers, ledger: Ledger, tmp_path: Path
):
    chance = random.Random(1)
    manager = await managers(url)
    await manager.create_queue(QueueConfig(**SERVE), work=False)
    running = [await workers.start(url, SERVE, **TICK, functions=["work"]) for _ in range(2)]
    accepted: list[str] = []
    for kill in range(KILLS):
        started = len(ledger.entries("start"))
        for number in range(10):
            task_id = f"task-{kill}-{number}"
            await submit(manager, task_id, jobs.work, seconds=chance.uniform(0.0, 0.3))
            accepted.append(task_id)
        replacement = asyncio.create_task(workers.start(url, SERVE, **TICK, functions=["work"]))
        await ledger.until("start", count=started + 1)
        await asyncio.sleep(chance.uniform(0.0, 0.2))  # a kill at any moment
        await running.pop(0).kill()
        running.append(await replacement)
    await status_once(manager, lambda s: s["queued_tasks"] + s["current_workers"] == 0, 60)
    statuses = [(await manager.get_task_status(each)).status for each in accepted]
    assert statuses.count(TaskStatus.COMPLETED) == len(accepted)
    assert {entry.task for entry in ledger.entries("end")} == set(accepted)
    starts = ledger.entries("start")
    assert len({(entry.task, entry.attempt) for entry in starts}) == len(starts)
    assert len(starts) - len(accepted) <= KILLS * SERVE["max_workers"]
    assert ledger.most_at_once() > 1
    assert sound(tmp_path / "kew.db")


SUBMITTER = """
import asyncio, sys
from kew import QueueConfig, TaskQueueManager
from tests.support import jobs

async def main(url, first):
    async with TaskQueueManager(url) as manager:
        await manager.create_queue(QueueConfig("q", max_size=1_000_000), work=False)
        number = first
        while True:
            await manager.submit_task(f"task-{number}", "q", "test", jobs.echo, None)
            print(number, flush=True)
            number += 1

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def test_what_was_acknowledged_before_a_kill_is_there_afterwards(
    url: str, managers: Managers, tmp_path: Path
):
    chance, acknowledged = random.Random(2), list[int]()
    for kill in range(KILLS):
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SUBMITTER, url, str(kill * 100_000)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert program.stdout is not None
        for _ in range(chance.randrange(1, 100)):
            acknowledged.append(int(await program.stdout.readline()))
        program.send_signal(signal.SIGKILL)
        rest, _ = await program.communicate()
        acknowledged += [int(line) for line in rest.decode().split("\n")[:-1]]
    manager = await managers(url)
    found = [await manager.get_task_status(f"task-{number}") for number in acknowledged]
    assert {info.status for info in found} == {TaskStatus.QUEUED}
    assert len(acknowledged) <= await waiting(manager) <= len(acknowledged) + KILLS
    assert sound(tmp_path / "kew.db")


async def waiting(manager: TaskQueueManager) -> int:
    """How many tasks wait, of which each kill may leave one that its submitter could not report."""
    (status,) = await manager.get_queue_statuses()
    return int(status["queued_tasks"])


def sound(path: Path) -> bool:
    """SQLite finds nothing wrong with the file."""
    db = sqlite3.connect(path)
    answers = db.execute("PRAGMA integrity_check").fetchall()
    db.close()
    return answers == [("ok",)]


def entry(what: str, attempt: int, pid: int, at: float) -> Entry:
    return Entry(what=what, task="a", attempt=attempt, token=attempt, pid=pid, at=at)


def test_the_long_run_tells_a_repeated_run_from_a_doubled_one():
    """`sqlite_kills.py` repeats the tests above two hundred times."""
    entries = [
        entry("start", 1, 7, 0.0),
        entry("start", 2, 8, 2.0),
        entry("end", 2, 8, 3.0),
    ]
    assert doubled(entries, {7}) == []
    assert doubled(entries, {8}) == [entries[1]]
    assert doubled([*entries, entry("start", 2, 9, 4.0)], {7, 8, 9}) != []
    assert most_at_once(entries, {7: 1.0}) == 1
    assert most_at_once(entries, {7: 2.5}) == 2


LISTENER = """
import asyncio, sys
from kew.adapters.sqlite.notifying import SqliteWakeup

async def main(path):
    await SqliteWakeup(path, "kew").listen("w1", lambda notice: print(notice, flush=True))
    print("listening", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("folder", ["short", "long" * 40])
async def test_what_a_transaction_reports_reaches_another_process_until_it_is_gone(
    tmp_path: Path, folder: str
):
    """Also where the path is longer than the name of a socket may be."""
    (tmp_path / folder).mkdir()
    path = str(tmp_path / folder / "kew.db")
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LISTENER, path), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert program.stdout is not None
    await program.stdout.readline()
    outgoing, other = Outgoing(path, "kew"), Outgoing(path, "other namespace")
    notices: list[Notice] = [
        Woken("q"),
        StopAsked("q", "é\n"),
        *(TaskEnded(str(n)) for n in range(200)),
    ]
    assert not other.notify("w1", Woken("q"))
    assert outgoing.notify("w1", Woken("undone"))
    outgoing.discard()
    for notice in notices:
        assert outgoing.notify("w1", notice)
    outgoing.send()
    heard = [(await program.stdout.readline()).decode().rstrip() for _ in notices]
    assert heard == [str(notice) for notice in notices]
    program.kill()
    await program.wait()
    assert not outgoing.notify("w1", Woken("q"))
    assert list((tmp_path / folder / "kew.db-listeners").iterdir()) == []


async def test_a_stop_reaches_the_process_that_runs_the_task(
    url: str, managers: Managers, workers: Workers, ledger: Ledger, tmp_path: Path
):
    serve = {**SERVE, "lease": 300.0}  # its next heartbeat would be late
    manager: TaskQueueManager = await managers(url)
    await manager.create_queue(QueueConfig(**serve), work=False)
    await workers.start(url, serve, functions=["wait_for"])
    await submit(manager, "task", jobs.wait_for, path=str(tmp_path / "never"))
    await ledger.until("start")
    assert await manager.cancel_task("task")
    assert (await end_of(manager, "task", 20)).status is TaskStatus.CANCELLED
