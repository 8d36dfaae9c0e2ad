"""What the file system refuses, for real: files that may not be written, a file size limit, truncated files."""

import asyncio
import ctypes
import os
import resource
import shutil
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kew import QueueConfig, SubmitUncertainError, TaskQueueManager
from kew.adapters.sqlite import schema, store
from kew.domain.errors import StoreUnavailableError, StoreUnsuitableError
from tests.support import jobs
from tests.support.stores import sqlite_scene
from tests.support.workers import ROOT
from tests.unit.adapters.sqlite.test_failures import opened

NOBODY = 65_534
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is about Linux")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that any user reaches, which is not so of pytest's."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o777)
    yield made
    made.chmod(0o777)
    shutil.rmtree(made)


@pytest.fixture
def as_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's thread opens files as a user without rights, even if root runs the tests."""
    connection: Callable[..., sqlite3.Connection] = schema.connection

    def connected(*arguments: Any) -> sqlite3.Connection:
        ctypes.CDLL(None).setfsuid(NOBODY)  # of this thread alone
        return connection(*arguments)

    if os.geteuid() == 0:
        monkeypatch.setattr(schema, "connection", connected)


def locked(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert not path.stat().st_mode & stat.S_IWOTH


@on_linux
@pytest.mark.usefixtures("as_nobody")
async def test_a_file_that_may_not_be_written_is_an_unsuitable_store(folder: Path):
    path = folder / "kew.db"
    await opened(path)
    locked(path, 0o444)
    with pytest.raises(StoreUnsuitableError, match="let this user write the file and its dir"):
        await opened(path)


@on_linux
@pytest.mark.usefixtures("as_nobody")
async def test_a_file_that_may_not_be_read_is_an_unsuitable_store(folder: Path):
    path = folder / "kew.db"
    await opened(path)
    locked(path, 0o000)
    with pytest.raises(StoreUnsuitableError, match="let this user"):
        await opened(path)


@on_linux
@pytest.mark.usefixtures("as_nobody")
@pytest.mark.parametrize("exists", [True, False])
async def test_a_directory_that_may_not_be_written_is_an_unsuitable_store(
    folder: Path, exists: bool
):
    path = folder / "kew.db"
    if exists:
        await opened(path)
    locked(folder, 0o555)
    with pytest.raises(StoreUnsuitableError, match="let this user write"):
        await opened(path)


@on_linux
async def test_a_file_that_may_not_grow_loses_nothing_that_was_acknowledged(tmp_path: Path):
    """A quota or `ulimit -f`. Whether the last submit was stored is in doubt, and repeating it is safe."""
    manager = TaskQueueManager(f"sqlite://{tmp_path}/kew.db?synchronous=normal", patience=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
        try:
            with pytest.raises(SubmitUncertainError) as caught:
                await submitted_until_refused(manager)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        cause = str(caught.value.__cause__)
        stored = await waiting(manager)
        await submitted_until_refused(manager, range(stored, stored + 3))
        assert await waiting(manager) == stored + 3
    assert caught.value.task_id == f"t{stored}"
    assert "check the disk" in cause


async def submitted_until_refused(
    manager: TaskQueueManager, numbers: Iterable[int] = range(100)
) -> None:
    for number in numbers:
        await manager.submit_task(f"t{number}", "q", "t", jobs.echo, None, "x" * 20_000)


async def waiting(manager: TaskQueueManager) -> int:
    return int((await manager.get_queue_status("q"))["queued_tasks"])


ON_A_FULL_DISK = """
import asyncio, os, sys
from pathlib import Path
from kew import QueueConfig, StoreUnavailableError, TaskQueueManager
from tests.unit.adapters.sqlite.test_file_system import submitted_until_refused, waiting

async def main(folder):
    filler = Path(folder, "filler")
    async with TaskQueueManager(f"sqlite://{folder}/kew.db", patience=1) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        disk = os.statvfs(folder)
        filler.write_bytes(bytes(disk.f_bavail * disk.f_frsize - 300_000))
        try:
            await submitted_until_refused(manager)
        except StoreUnavailableError as error:
            print(error)
        before = await waiting(manager)
        filler.unlink()
        await submitted_until_refused(manager, range(before, before + 3))
        print(before, await waiting(manager))

asyncio.run(main(sys.argv[1]))
"""
MOUNTED = 'mount -t tmpfs -o size=3m tmpfs "$1" && exec "$2" -c "$3" "$1"'


@pytest.mark.skipif(shutil.which("unshare") is None, reason="it mounts a disk")
async def test_a_disk_that_is_full_refuses_until_there_is_room(tmp_path: Path):
    """A small disk, which an ordinary user may mount in a namespace of its own if the system allows that."""
    arguments = [str(tmp_path), sys.executable, ON_A_FULL_DISK]
    program = await asyncio.create_subprocess_exec(
        *("unshare", "--map-root-user", "--mount", "sh", "-c", MOUNTED, "sh", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaints = await program.communicate()
    if not said and (b"unshare" in complaints or b"mount" in complaints):
        pytest.skip(complaints.decode())
    error, counts = said.decode().splitlines()
    assert "was not stored: the disk that has" in error
    assert "is full: free some space; kew goes on by itself" in error
    before, after = map(int, counts.split())
    assert after == before + 3


@pytest.mark.parametrize("left", [50, 100, 4096, 0.5, 0.9])
async def test_a_truncated_file_is_an_unsuitable_store(tmp_path: Path, left: float):
    path = tmp_path / "kew.db"
    scene = sqlite_scene(path)
    await scene.declare()
    await scene.submit(*(f"t{n}" for n in range(100)), payload=b"x" * 500)
    await scene.close()
    content = path.read_bytes()
    path.write_bytes(content[: int(left if left > 1 else left * len(content))])
    with pytest.raises(StoreUnsuitableError, match=r"is damaged.*\.recover"):
        await opened(path)


def open_in(folder: Path) -> list[Path]:
    files = [each.resolve() for each in Path("/proc/self/fd").iterdir()]
    return [each for each in files if each.is_relative_to(folder)]


@on_linux
async def test_a_store_that_cannot_be_opened_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*arguments: Any) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(store, "StoredNamespace", fail)
    with pytest.raises(StoreUnavailableError, match="disk I/O error"):
        await opened(tmp_path / "kew.db")
    assert open_in(tmp_path) == []
