"""`kew demo` on a file and on Redis: stopped and started again, it finishes what was left and does nothing twice."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kew import QueueNotFoundError, TaskInfo, TaskQueueManager, TaskStatus
from kew.cli.folder import Folder, look_into

FILES = 6000
FILES_BESIDE_A_FILE = 1500
WORKERS = 4
# Tests that a shell runs in the background hand on that Ctrl-C is to be ignored.
HEARS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
KEW = [sys.executable, "-c", f"{HEARS_CTRL_C}; from kew.cli import main; main()", "demo"]


class Demo:
    """One process of the demo over one folder."""

    def __init__(self, folder: Folder, url: str, option: str = "--redis") -> None:
        self.folder = folder
        self.url = url
        self._pushed = False
        self.process = subprocess.Popen(
            [*KEW, str(folder.path), option, url, "--workers", str(WORKERS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    async def half_way(self) -> None:
        """Until about half of the files are done, and some are running."""
        async with TaskQueueManager(self.url, namespace="kew-demo") as manager, asyncio.timeout(30):
            while not await self._is_half_way(manager):
                assert self.process.poll() is None, "it ended before it was half-way"
                await asyncio.sleep(0.01)

    async def _is_half_way(self, manager: TaskQueueManager) -> bool:
        try:
            status = await manager.get_queue_status(self.folder.queue)
        except QueueNotFoundError:
            return False
        waiting = int(status["queued_tasks"])
        half = len(self.folder.files) / 2
        self._pushed |= waiting > half
        return self._pushed and 0 < waiting < half and status["current_workers"] > 0

    async def end(self, number: signal.Signals | None = None) -> str:
        """What it said, once it has ended (by itself, or by this signal)."""
        if number is not None:
            self.process.send_signal(number)
        said, _ = await asyncio.to_thread(self.process.communicate, timeout=200)
        return str(said)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return with_files(tmp_path, FILES)


def with_files(path: Path, count: int) -> Folder:
    for number in range(count):
        (path / f"{number}.txt").write_text(f"{number}\n")
    return look_into(path)


@pytest.fixture
def demos() -> Iterator[list[Demo]]:
    started: list[Demo] = []
    yield started
    for demo in started:
        demo.process.kill()
        demo.process.communicate()


async def records(folder: Folder, url: str) -> list[TaskInfo]:
    async with TaskQueueManager(url, namespace="kew-demo") as manager:
        return [await manager.get_task_status(file.task_id) for file in folder.files]


def fingerprint(said: str) -> str:
    found = re.search(r"fingerprint +(\w{16})", said)
    assert found, said
    return found[1]


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)],
)
async def test_a_run_that_was_stopped_half_way_goes_on(
    folder, demos, clean_redis_url, number, code
):
    demos.append(Demo(folder, clean_redis_url))
    await demos[0].half_way()
    stopped = await demos[0].end(number)
    assert demos[0].process.returncode == code
    if number is not signal.SIGKILL:
        assert "To continue: kew demo" in stopped
        assert "Traceback" not in stopped

    demos.append(Demo(folder, clean_redis_url))
    said = await demos[1].end()
    assert demos[1].process.returncode == 0, said
    assert "Continuing an earlier run: " in said
    assert "finished by an earlier run" in said
    infos = await records(folder, clean_redis_url)
    assert {info.status for info in infos} == {TaskStatus.COMPLETED}
    assert sum(info.attempt > 1 for info in infos) <= WORKERS  # those it held

    demos.append(Demo(folder, clean_redis_url))
    again = await demos[2].end()
    assert "Nothing to do" in again
    assert fingerprint(again) == fingerprint(said)


@pytest.mark.slow(8)
async def test_a_run_on_a_file_that_was_killed_half_way_goes_on(demos, tmp_path, tmp_path_factory):
    folder = with_files(tmp_path, FILES_BESIDE_A_FILE)
    url = f"sqlite://{tmp_path_factory.mktemp('store')}/demo.db"
    demos.append(Demo(folder, url, "--store"))
    await demos[0].half_way()
    await demos[0].end(signal.SIGKILL)

    demos.append(Demo(folder, url, "--store"))
    said = await demos[1].end()
    assert demos[1].process.returncode == 0, said
    found = re.search(r"Continuing an earlier run: ([\d,]+) finished, ([\d,]+) left", said)
    assert found, said
    finished, left = found.groups()
    assert number(finished) > 0
    assert number(finished) + number(left) == FILES_BESIDE_A_FILE
    assert f"{left} files digested" in said
    infos = await records(folder, url)
    assert {info.status for info in infos} == {TaskStatus.COMPLETED}
    assert sum(info.attempt > 1 for info in infos) <= WORKERS  # those it held


def number(shown: str) -> int:
    return int(shown.replace(",", ""))


async def test_two_runs_at_once_share_the_work(folder, demos, clean_redis_url):
    demos += [Demo(folder, clean_redis_url), Demo(folder, clean_redis_url)]
    first, second = await asyncio.gather(*(demo.end() for demo in demos))
    assert fingerprint(first) == fingerprint(second)
    infos = await records(folder, clean_redis_url)
    assert {info.attempt for info in infos} == {1}


async def test_a_redis_that_cannot_be_reached_gets_one_line_and_exit_code_2(tmp_path):
    (tmp_path / "one").write_text("1")
    demo = Demo(look_into(tmp_path), "redis://127.0.0.1:1/0")
    said = await demo.end()
    assert demo.process.returncode == 2
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("kew: Redis at 127.0.0.1:1 ")
