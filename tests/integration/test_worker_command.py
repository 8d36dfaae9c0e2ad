"""`kew worker` as people run it: real processes, real signals, a real Redis."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from kew import QueueConfig, TaskQueueManager, TaskStatus

PATIENCE = 60.0
T = TypeVar("T")
PROGRAM = """
import asyncio
import os
import time

from kew import QueueConfig, TaskQueueManager

manager = TaskQueueManager(os.environ["STORE"], queues=[QueueConfig("orders", lease=3)])
MAILS = QueueConfig("mails", max_workers=2)
not_a_manager = 7


def make():
    return manager


@manager.task(queue="orders")
async def pid() -> int:
    return os.getpid()


@manager.task(queue=MAILS)
async def waits(path: str) -> str:
    open(path + ".begun", "w").close()
    while not os.path.exists(path):
        await asyncio.sleep(0.01)
    return "version 1"
"""


async def until(look: Callable[[], T | None]) -> T:
    async with asyncio.timeout(PATIENCE):
        while not (found := look()):  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.02)
    return found


class Command:
    """One `kew worker`, with what it printed."""

    def __init__(self, folder: Path, url: str, *arguments: str) -> None:
        self.output = folder / f"output-{len(list(folder.glob('output-*')))}"
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kew", "worker", *arguments],
                cwd=folder,
                env={**os.environ, "STORE": url},
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def text(self) -> str:
        return self.output.read_text()

    async def says(self, pattern: str, times: int = 1) -> list[str]:
        def look() -> list[str] | None:
            assert self.process.poll() in (None, 0), self.text()
            found = re.findall(pattern, self.text())
            return found if len(found) >= times else None

        return await until(look)

    async def ends(self, number: int | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        await until(lambda: self.process.poll() is not None)
        return self.process.returncode


Commands = Callable[..., Command]


@pytest.fixture
def run(tmp_path: Path, clean_redis_url: str) -> Iterator[Commands]:
    started: list[Command] = []
    (tmp_path / "app.py").write_text(PROGRAM)

    def start(*arguments: str, url: str = clean_redis_url) -> Command:
        started.append(Command(tmp_path, url, *arguments))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


@pytest.fixture
async def caller(clean_redis_url: str) -> AsyncIterator[TaskQueueManager]:
    async with TaskQueueManager(clean_redis_url) as manager:
        for name in ("orders", "mails"):
            await manager.create_queue(QueueConfig(name), work=False)
        for name, function in FUNCTIONS.items():
            manager.register(function, name=f"app:{name}")
        yield manager


def pid() -> int:
    raise AssertionError("it runs in the worker")


def waits(path: str) -> str:
    raise AssertionError("it runs in the worker")


FUNCTIONS: dict[str, Callable[..., object]] = {"pid": pid, "waits": waits}


async def submit(caller: TaskQueueManager, task_id: str, queue: str, name: str, *args: str) -> None:
    await caller.submit_task(task_id, queue, "t", FUNCTIONS[name], None, *args)


async def test_it_works_on_all_queues_of_the_program_until_sigterm(
    run: Commands, caller: TaskQueueManager
):
    command = run("app:manager")
    await command.says(r"queue (orders|mails): this process works on it", times=2)
    await submit(caller, "a", "orders", "pid")
    assert await caller.handle("a").result(timeout=PATIENCE) == command.process.pid
    assert await command.ends(signal.SIGTERM) == 0
    assert "shutting down: 0 tasks run here" in command.text()
    assert await caller.processes() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_waits_for_what_runs(
    run: Commands, caller: TaskQueueManager, tmp_path: Path, number: int
):
    command = run("app:make", "--queues", "mails")
    await submit(caller, "a", "mails", "waits", str(tmp_path / "go"))
    await until((tmp_path / "go.begun").exists)
    assert "queue orders" not in command.text()
    command.process.send_signal(number)
    await command.says("shutting down: 1 task run here")
    (tmp_path / "go").touch()
    assert await command.ends() == 0
    assert (await caller.get_task_status("a")).status is TaskStatus.COMPLETED


async def test_what_does_not_end_in_the_grace_is_released_and_a_second_signal_does_not_wait(
    run: Commands, caller: TaskQueueManager, tmp_path: Path
):
    short = run("app:manager", "--grace", "0.1")
    await submit(caller, "a", "mails", "waits", str(tmp_path / "go"))
    await until((tmp_path / "go.begun").exists)
    assert await short.ends(signal.SIGTERM) == 0
    assert (await caller.get_task_status("a")).status is TaskStatus.QUEUED
    (tmp_path / "go.begun").unlink()
    long = run("app:manager", "--grace", "600")
    await until((tmp_path / "go.begun").exists)
    long.process.send_signal(signal.SIGTERM)
    await long.says("shutting down: 1 task run here")
    assert await long.ends(signal.SIGTERM) == 143


async def test_a_burst_ends_when_nothing_waits(run: Commands, caller: TaskQueueManager):
    for number in range(30):
        await submit(caller, f"t{number}", "orders", "pid")
    await caller.submit_task("later", "orders", "t", pid, None, _defer_by=3600)
    command = run("app:manager", "--burst")
    assert await command.ends() == 0, command.text()
    for number in range(30):
        status = (await caller.get_task_status(f"t{number}")).status
        assert status is TaskStatus.COMPLETED
    assert (await caller.get_task_status("later")).status is TaskStatus.QUEUED


async def test_several_processes_share_the_work_and_end_together(
    run: Commands, caller: TaskQueueManager
):
    command = run("app:manager", "--processes", "2")
    await command.says("queue mails: this process works on it", times=2)
    pids = {one.pid for one in await caller.processes()}
    assert len(pids) == 2
    assert command.process.pid not in pids
    assert await command.ends(signal.SIGINT) == 0
    assert await caller.processes() == []


async def test_a_process_that_is_killed_is_started_again(run: Commands, caller: TaskQueueManager):
    command = run("app:manager", "--processes", "2")
    await command.says("queue mails: this process works on it", times=2)
    before = await caller.processes()
    assert before[0].pid is not None
    os.kill(before[0].pid, signal.SIGKILL)
    await command.says("was killed by signal 9: it starts again")
    await command.says("queue mails: this process works on it", times=3)
    assert await command.ends(signal.SIGTERM) == 0


async def test_workers_whose_supervisor_is_killed_shut_down(
    run: Commands, caller: TaskQueueManager
):
    command = run("app:manager", "--processes", "2")
    await command.says("queue mails: this process works on it", times=2)
    command.process.kill()
    await command.ends()
    await until(lambda: command.text().count(": shut down") == 2)
    assert await caller.processes() == []


async def test_it_starts_again_when_a_file_changes(
    run: Commands, caller: TaskQueueManager, tmp_path: Path
):
    (tmp_path / "go").touch()
    command = run("app:manager", "--reload")
    await submit(caller, "a", "mails", "waits", str(tmp_path / "go"))
    assert await caller.handle("a").result(timeout=PATIENCE) == "version 1"
    (tmp_path / "app.py").write_text("syntax error\n")
    await command.says("app.py changed: the workers restart")
    await command.says("importing app failed: SyntaxError")
    (tmp_path / "app.py").write_text(PROGRAM.replace("version 1", "version 2"))
    await submit(caller, "b", "mails", "waits", str(tmp_path / "go"))
    assert await caller.handle("b").result(timeout=PATIENCE) == "version 2"
    assert await command.ends(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("app:manger", "module 'app' has no 'manger'; did you mean 'manager'?"),
        ("ap:manager", "there is no module 'ap' in "),
        ("app", "'app' names no manager; give the module and the manager in it"),
        ("app.py:manager", "'app.py' is a file, not a module"),
        ("app:not_a_manager", "app:not_a_manager is no TaskQueueManager"),
        ("app:pid", "app:pid is no TaskQueueManager"),
    ],
)
async def test_what_cannot_be_imported_is_an_error_in_one_line(
    run: Commands, target: str, says: str
):
    command = run(target)
    assert await command.ends() == 2
    assert command.text().startswith(f"kew: {says}")
    assert command.text().count("\n") == 1


async def test_an_unknown_queue_is_an_error_and_so_is_a_store_that_is_not_there(run: Commands):
    unknown = run("app:manager", "--queues", "order")
    assert await unknown.ends() == 2
    assert "knows no queue 'order'; did you mean 'orders'?" in unknown.text()
    away = run("app:manager", "--processes", "2", url="redis://127.0.0.1:1")
    assert await away.ends() == 4
    assert "kew: Redis at 127.0.0.1:1 can't be used" in away.text()
    assert "WARNING" not in away.text()


def probe(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "kew", "health", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


async def test_a_probe_reads_the_health_of_a_worker_from_its_file(run: Commands, tmp_path: Path):
    path = tmp_path / "health"
    command = run("app:manager", "--health-file", str(path))
    await until(path.exists)
    code, text = await asyncio.to_thread(probe, "--file", str(path))
    assert (code, "is ready" in text) == (0, True)
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "ready": False, "reasons": ["no answer"]}))
    # Written once a second: read at once, it is this one, or else the next.
    await command.ends(signal.SIGTERM)
    code, text = await asyncio.to_thread(probe, "--file", str(path))
    assert (code, "there is no health file" in text) == (1, True)
    path.write_text(json.dumps({**found, "at": found["at"] - 60}))
    assert (await asyncio.to_thread(probe, "--file", str(path)))[0] == 1
    path.write_text(json.dumps({**found, "at": found["at"] + 60, "ready": False, "reasons": ["x"]}))
    code, text = await asyncio.to_thread(probe, "--file", str(path))
    assert (code, text) == (1, "kew: not ready: x\n")
    path.write_text("other")
    assert (await asyncio.to_thread(probe, "--file", str(path)))[0] == 2


async def test_a_probe_asks_the_store_for_a_process_or_whether_it_answers(
    clean_redis_url: str, run: Commands
):
    command = run("app:manager")
    [pid] = {command.process.pid}
    await command.says("queue mails: this process works on it")
    async with TaskQueueManager(clean_redis_url) as manager:
        [one] = await manager.processes()
    assert one.pid == pid
    url = ("--url", clean_redis_url)
    assert (await asyncio.to_thread(probe, *url, one.name))[0] == 0
    assert (await asyncio.to_thread(probe, *url, "stranger"))[0] == 3
    assert (await asyncio.to_thread(probe, *url))[0] == 0
    assert (await asyncio.to_thread(probe, "--url", "redis://127.0.0.1:1"))[0] == 4
