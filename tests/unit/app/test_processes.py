"""The processes of a namespace, as a person asks for them."""

from __future__ import annotations

import asyncio
import json
import threading
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

import kew
from kew import InvalidConfigError, QueueConfig, TaskQueueManager
from kew.app.ports import PresentProcess
from kew.app.processes import ProcessReport, ReportedTask, process_info, read_report

INSTANT = 1_800_000_000_000


async def returns() -> int:
    return 1


async def hangs(begun: asyncio.Event) -> None:
    begun.set()
    await asyncio.Event().wait()


async def test_a_process_says_who_it_is_and_what_it_works_on():
    async with TaskQueueManager("memory://", process_name="web/3") as manager:
        await manager.create_queue(QueueConfig("a", max_workers=3), functions=[returns])
        await manager.create_queue(QueueConfig("b", max_workers=1))
        await manager.create_queue(QueueConfig("submits-only"), work=False)
        [one] = await manager.processes()
    assert one.name == "web/3"
    assert one.version == kew.__version__
    assert [(each.queue, each.slots, each.running) for each in one.queues] == [
        ("a", 3, 0),
        ("b", 1, 0),
    ]
    assert one.function_count == len(one.functions)
    assert f"{__name__}:returns" in one.functions
    assert one.started_time is not None
    assert one.started_time <= one.heartbeat_time
    assert one.loop_lag is not None


async def test_without_a_name_a_process_is_called_host_and_pid():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("a"))
        [one] = await manager.processes()
    assert one.name == f"{one.host}:{one.pid}"
    assert one.id.startswith(f"{one.host}-{one.pid}-")


async def test_the_processes_that_share_a_store_see_each_other():
    async with (
        TaskQueueManager("memory://seen", process_name="b") as first,
        TaskQueueManager("memory://seen", process_name="a") as second,
    ):
        await first.create_queue(QueueConfig("q"))
        await second.create_queue(QueueConfig("q"))
        for manager in (first, second):
            assert [one.name for one in await manager.processes()] == ["a", "b"]


async def test_a_process_that_shut_down_is_not_listed():
    async with TaskQueueManager("memory://shut") as manager:
        async with TaskQueueManager("memory://shut") as other:
            await other.create_queue(QueueConfig("q"))
        assert await manager.processes() == []


async def test_a_heartbeat_counts_the_running_tasks_and_says_where_a_task_waits():
    began = asyncio.Event()

    async def waits() -> None:
        await hangs(began)

    async with TaskQueueManager("memory://", tick=0.001) as manager:
        await manager.create_queue(QueueConfig("q", max_workers=2))
        await manager.submit_task("stuck", "q", "t", waits)
        await began.wait()
        while True:
            [one] = await manager.processes()
            if one.queues[0].running:
                break
            await asyncio.sleep(0)
        store = manager._here().parts.store
        [report] = [text for _, text in store.namespace.reports.values()]  # type: ignore[attr-defined]
        await manager.shutdown(wait=False)
    known = read_report(report)
    assert known is not None
    [task] = known.tasks
    assert task.task_id == "stuck"
    assert task.where is not None
    line = hangs.__code__.co_firstlineno + 2
    assert task.where == f"{__file__}:{line} (hangs)"


async def test_a_thread_too_says_where_it_is():
    go_on, begun = threading.Event(), threading.Event()

    def works() -> None:
        begun.set()
        go_on.wait()

    async with TaskQueueManager("memory://", tick=0.001) as manager:
        await manager.create_queue(QueueConfig("q", max_workers=2))
        await manager.submit_task("busy", "q", "t", works)
        await asyncio.to_thread(begun.wait)
        report = manager._here().presence._report(0.0)
        go_on.set()
    assert report.tasks[0].where is not None
    assert report.tasks[0].where.startswith(f"{__file__}:")
    assert report.tasks[0].where.endswith("works)")


def test_only_tasks_that_run_for_long_are_shown_longest_first():
    tasks = [
        ReportedTask("young", "q", "m:f", INSTANT - 4_999),
        ReportedTask("old", "q", "m:f", INSTANT - 5_000, "/app/m.py:7 (f)"),
        ReportedTask("older", "q", "m:f", INSTANT - 60_000),
    ]
    report = ProcessReport(name="n", version="1", age_ms=90_000, tasks=tasks)
    info = process_info(PresentProcess("web-1-7-abc", {"q": INSTANT + 1}, INSTANT, report.text()))
    assert [(one.task_id, one.seconds) for one in info.long_tasks] == [("older", 60), ("old", 5)]
    assert info.long_tasks[1].where == "/app/m.py:7 (f)"
    assert info.started_time == datetime.fromtimestamp((INSTANT - 90_000) / 1000, UTC)


def test_a_process_of_an_earlier_version_is_listed_by_its_presence_alone():
    info = process_info(PresentProcess("web-1-7-abc", {"q": INSTANT, "p": INSTANT - 30_000}))
    assert (info.name, info.host, info.pid) == ("web-1:7", "web-1", 7)
    assert (info.version, info.started_time, info.function_count) == (None, None, None)
    assert info.heartbeat_time == datetime.fromtimestamp((INSTANT - 60_000) / 1000, UTC)
    assert [(each.queue, each.slots) for each in info.queues] == [("p", None), ("q", None)]


def test_the_name_of_a_very_early_version_has_no_place():
    info = process_info(PresentProcess("abc", {"q": INSTANT}))
    assert (info.name, info.host, info.pid) == ("abc", "abc", None)


@pytest.mark.parametrize("text", ["{", "[]", '{"name": 3}', '{"tasks": [[1]]}', ""])
def test_a_report_that_another_program_wrote_is_none(text: str):
    assert read_report(text) is None


def test_a_report_of_a_newer_version_is_read_as_far_as_it_is_known():
    report = read_report('{"name": "n", "news": {}, "tasks": [["t", "q", "f", 1, "w", "more"]]}')
    assert report is not None
    assert report.name == "n"
    assert report.tasks == [ReportedTask("t", "q", "f", 1, "w")]


async def test_what_a_process_is_can_be_printed_as_json():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("a"), functions=[returns])
        [one] = await manager.processes()
    plain = json.loads(json.dumps(one.to_dict()))
    assert plain["queues"] == [{"queue": "a", "slots": 10, "running": 0}]
    assert datetime.fromisoformat(plain["heartbeat_time"]) == one.heartbeat_time
    assert plain["long_tasks"] == []


@pytest.mark.parametrize("name", ["", "two words", "n" * 101, "näh", 3])
def test_a_name_that_redis_would_refuse_is_refused(name: str):
    with pytest.raises(InvalidConfigError, match="process_name"):
        TaskQueueManager("memory://", process_name=name)


def test_the_version_is_that_of_the_package():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert kew.__version__ == project["project"]["version"]
