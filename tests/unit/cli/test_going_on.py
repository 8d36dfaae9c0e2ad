"""`kew demo` started again, stopped, refused: on a store that outlives one run, without a server."""

import asyncio
import io
import itertools
import os

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from kew import QueueFullError, StoreUnavailableError, TaskQueueManager
from kew.cli import demo as command
from kew.cli import drive, screen, summary
from kew.cli.commands import kew
from kew.cli.drive import Drive, config_of
from kew.cli.folder import Folder, digest_file, look_into
from kew.cli.tally import GONE, Tally

numbers = itertools.count()


@pytest.fixture
def url() -> str:
    return f"memory://demo-{next(numbers)}"


@pytest.fixture
def folder(tmp_path) -> Folder:
    for name in "abc":
        (tmp_path / name).write_text(f"{name}\n")
    return look_into(tmp_path)


def run(folder: Folder, url: str) -> Result:
    return CliRunner().invoke(kew, ["demo", str(folder.path), "--redis", url])


def test_started_again_it_does_nothing_twice(folder, url):
    first, second = run(folder, url), run(folder, url)
    assert "3 files digested" in first.output
    assert "Nothing to do" in second.output
    assert "3 finished by an earlier run" in second.output
    fingerprints = [
        line
        for result in (first, second)
        for line in result.output.splitlines()
        if "finger" in line
    ]
    assert len(set(fingerprints)) == 1


def test_a_file_is_named_by_its_path_or_its_url(folder, tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("place")
    monkeypatch.chdir(place)
    stores = ("a file.db", str(place / "a file.db"), f"sqlite://{place}/a%20file.db")
    results = [
        CliRunner().invoke(kew, ["demo", str(folder.path), "--store", store]) for store in stores
    ]
    said = ["3 files digested" in result.output for result in results]
    assert said == [True, False, False], results[0].output
    assert [result.exit_code for result in results] == [0, 0, 0]
    assert all("Nothing to do" in result.output for result in results[1:])


def test_a_store_that_is_named_twice_is_refused(folder, url):
    arguments = ["demo", str(folder.path), "--redis", url, "--store", "demo.db"]
    result = CliRunner().invoke(kew, arguments)
    assert result.exit_code == 2
    assert "not both" in result.output


def test_started_again_the_dead_get_another_chance(folder, url):
    broken = folder.path / "broken"
    broken.symlink_to("later")
    folder = look_into(folder.path)
    assert "1 failed" in run(folder, url).output
    (folder.path / "later").write_text("readable now\n")
    again = run(folder, url).output
    assert "3 finished by an earlier run, 1 replayed" in again
    assert "2 files digested" in again


async def push(folder: Folder, url: str, count: int) -> None:
    """What a run leaves that was killed right after pushing `count` files."""
    async with TaskQueueManager(url, namespace="kew-demo") as manager:
        manager.register(digest_file)
        await manager.create_queue(config_of(folder, 2), work=False)
        tasks = [drive._task(file) for file in folder.files[:count]]
        await manager.submit_tasks(folder.queue, tasks)


def test_what_an_earlier_run_left_is_finished(folder, url):
    asyncio.run(push(folder, url, 2))
    result = run(folder, url)
    assert "3 files digested" in result.output
    assert "0 finished by an earlier run, 2 unfinished" in result.output


def driving(folder: Folder, url: str) -> Drive:
    return Drive(
        Tally(folder),
        url=url,
        namespace="kew-demo",
        workers=2,
        stage=lambda words: None,
        continues=lambda: None,
    )


async def test_two_runs_at_once_find_each_others_files(folder, url, monkeypatch):
    monkeypatch.setattr(drive, "POLL", 0.02)
    first, second = driving(folder, url), driving(folder, url)
    await asyncio.gather(first.run(), second.run())
    assert first.tally.fingerprint() == second.tally.fingerprint()
    assert first.tally.open == second.tally.open == {}


async def test_a_file_whose_record_was_cleaned_away_ends_the_run_all_the_same(
    folder, url, monkeypatch
):
    monkeypatch.setattr(drive, "POLL", 0.02)
    one = driving(folder, url)
    async with TaskQueueManager(url, namespace="kew-demo") as manager:
        one._manager = manager
        await manager.create_queue(config_of(folder, 2), work=False)
        async with asyncio.timeout(30):
            await one._until_all_ended()
    assert {error for _, error in one.tally.dead.values()} == {GONE}


async def test_a_store_that_is_away_is_waited_for(folder, url, monkeypatch):
    stages: list[str] = []
    one = driving(folder, url)
    one._stage = stages.append

    async def away(task_id: str) -> None:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(one, "_ask_one", away)
    await one._look_patiently()
    assert stages == ["waiting for the store"]


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (KeyboardInterrupt(), 130, "To continue: kew demo"),
        (screen.Terminated(), 143, "To continue: kew demo"),
        (StoreUnavailableError("no answer."), 2, "no answer"),
        (QueueFullError("q", 3), 2, "is full"),
    ],
)
def test_an_end_before_the_end_says_how_to_go_on(folder, url, monkeypatch, error, code, word):
    def ends(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(command, "_run", ends)
    result = run(folder, url)
    assert result.exit_code == code
    assert word in result.output + result.stderr


def test_in_memory_there_is_nothing_to_go_on_with(folder, monkeypatch):
    def ends(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_run", ends)
    result = CliRunner().invoke(kew, ["demo", str(folder.path)])
    assert "With --store FILE, a stopped run can continue" in result.output


def test_sigterm_unwinds_a_command():
    unwound = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), 15)
            await asyncio.sleep(5)
        finally:
            unwound.append(1)

    with pytest.raises(screen.Terminated):
        screen.run(work())
    assert unwound == [1]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_summary_fits_the_terminal(folder, url, width):
    one = driving(folder, url)
    asyncio.run(one.run())
    (file, *_) = folder.files
    one.tally.retried[file.task_id] = (file, 1)
    one.tally.dead["x"] = (file, "OSError: [Errno 5] Input/output error: b'/some/path'")
    screen_text = io.StringIO()
    console = Console(file=screen_text, width=width, force_terminal=True, color_system=None)
    report = summary.Report(tally=one.tally, status=one.status, seconds=1.0, store="a store")
    summary.show(report, console)
    lines = screen_text.getvalue().splitlines()
    assert max(map(len, lines)) <= min(width, 80)
    assert "after a retry" in screen_text.getvalue()
    assert "/some/path" not in screen_text.getvalue()
