"""What earlier versions of kew stored is read today, by Python and by Lua, and their queues are drained.

tests/golden/write.py wrote the samples; a version adds its own when it stores something in a new form.
"""

import contextlib
import json
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kew import QueueConfig, TaskQueueManager
from kew.adapters.redis import records
from kew.adapters.redis.library import Library
from kew.adapters.redis.wakeup import notice_of
from kew.app.notices import StopAsked, TaskEnded, Woken
from kew.app.ports import History, ListFailed, ListGroups, ReadAttempts, Running, Status, Sweep
from kew.domain.breaker import BreakerState
from kew.domain.gates.snoozed import snoozed_until
from kew.domain.history import MINUTE_MS, Tally, sum_of
from kew.domain.reports import Report
from kew.domain.requests import LifeRef, Word
from tests.golden import write
from tests.support import jobs
from tests.support.asking import once
from tests.support.raw_redis import read_namespace
from tests.support.redis_process import connect
from tests.support.scene import PRESENCE_MS, Scene
from tests.support.stores import raw_client, redis_scene

FOLDER = Path(write.__file__).parent
DUMPS = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
PARSED = """
  local replies = {}
  for n, raw in ipairs(given_arguments) do
    local t = parse('id', raw)
    replies[n] = t and packed(t) or false
  end
  return replies
"""


@pytest.fixture(params=sorted(DUMPS))
def dump(request: pytest.FixtureRequest) -> Any:
    return DUMPS[request.param]


def raw_records(dump: Any) -> dict[str, bytes]:
    stored = dump["keys"]["kew:tasks"][1]
    return {
        task_id.encode("latin-1").decode(): raw.encode("latin-1") for task_id, raw in stored.items()
    }


def content_of(dump: Any, task_id: str) -> bytes | None:
    _, stored = dump["keys"].get("kew:contents", ("hash", {}))
    text = stored.get(task_id.encode().decode("latin-1"))
    return None if text is None else str(text).encode("latin-1")


def checkpoint_of(dump: Any, task: Any) -> bytes | None:
    member = f"{task['ticket']:012d}{task['call']['id']}"
    key = f"kew:{{{task['queue']}}}:checkpoint:{member}".encode().decode("latin-1")
    _, text = dump["keys"].get(key, ("string", None))
    return None if text is None else str(text).encode("latin-1")


def test_there_is_a_sample_of_every_version_that_stored_something_else():
    known = {
        "236a3e4",
        "b89b39a",
        "extras",
        "snoozes",
        "attempts",
        "steering",
        "history",
        "progress",
        "unique",
        "schedules",
    }
    assert known <= set(DUMPS)


def test_every_kind_of_key_is_in_the_samples(dump: Any):
    parts = {re.sub(r"^kew:(\{[^}]*\}:)?(\w+?)[123]?(:.*)?$", r"\2", key) for key in dump["keys"]}
    assert parts >= {
        *("tasks", "queues", "state", "line", "waiting", "parked", "leases", "ended", "workers"),
        *("functions", "lanes", "idle", "hungry", "unreadable"),
    }


def test_python_reads_every_record(dump: Any):
    for task_id, raw in raw_records(dump).items():
        content = content_of(dump, task_id)
        expected = dump["tasks"][task_id]
        found: Any = raw if content is None else [raw, content]
        if (saved := checkpoint_of(dump, expected)) is not None:
            found = [raw, content, saved]
        task = records.read_strictly(task_id, found, expected["lease_until"])
        if expected["status"] == "completed":
            expected = {**expected, "call": {**expected["call"], "payload": ""}}
        assert known_fields(write.described(task), expected) == expected


def known_fields(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Those that there were when the sample was written."""
    call = {name: found["call"][name] for name in expected["call"]}
    return {**{name: found[name] for name in expected}, "call": call}


async def test_lua_reads_every_record_and_writes_it_back_as_it_was(clean_redis_url: str, dump: Any):
    library = Library()
    script, _, _ = library.script(library["find"]).rpartition("return registered")
    stored = list(raw_records(dump).values())
    client = raw_client(clean_redis_url)
    packed = await client.execute_command("EVAL", script + PARSED, 0, *stored)
    await client.aclose()
    for raw, again in zip(stored, packed, strict=True):
        untouched = b" 0,0,0,0,0,0,0,0,-,-,0,0,- "
        assert again.replace(untouched, b" - ", 1) == raw.replace(untouched, b" - ", 1)


@pytest.fixture
async def scene(clean_redis_url: str, dump: Any) -> AsyncIterator[Scene]:
    """The sample's namespace, at the time when it was written."""
    async with redis_scene(clean_redis_url) as made:
        write.restore(clean_redis_url, dump["keys"])
        await made.store.open()
        try:
            yield made
        finally:
            await made.close()


async def test_the_history_of_a_queue_says_what_it_said(scene: Scene, dump: Any):
    open_minute = dump["keys"]["kew:{orders}:state"][1].get("history")
    past = await scene.store.do(History("orders", MINUTE_MS, 1_440))
    assert past is not None
    total = sum_of(past.tallies.values())
    if open_minute is None:
        assert total.is_empty  # a version that kept none
        return
    assert (total.submitted, total.failed, total.retried) == (29, 4, 4)
    assert (total.cancelled, total.snoozed, sum(total.wait)) == (2, 3, total.started)
    closed = await scene.store.do(History("paused", MINUTE_MS, 1_440))
    assert closed is not None
    assert sum_of(closed.tallies.values()) == Tally(
        submitted=1, started=1, snoozed=1, waiting=1, wait=(1,), run=(1,)
    )


async def test_a_namespace_is_sound_and_says_what_it_said(
    scene: Scene, clean_redis_url: str, dump: Any
):
    client = raw_client(clean_redis_url)
    namespace = await read_namespace(client)
    await client.aclose()
    assert namespace.faults == []
    faults = [fault for each in namespace.queues.values() for fault in each.faults]
    assert [fault for fault in faults if not is_of_its_time(fault, dump)] == []
    tasks = [task for each in namespace.queues.values() for task in each.snapshot.tasks.values()]
    described = {task.id: write.described(task) for task in tasks}
    assert described.keys() == dump["tasks"].keys()
    for task_id, expected in dump["tasks"].items():
        assert known_fields(described[task_id], expected) == expected


def is_of_its_time(fault: str, dump: Any) -> bool:
    """Whether it reports an index that there was not yet."""
    indexes = {
        "dead": ": dead letters [",
        "expiring": ": not in the index of those that expire",
        "keyed:first": ": first tasks {",
    }
    missing = [name for name in indexes if not any(f"}}:{name}" in key for key in dump["keys"])]
    return any(indexes[name] in fault for name in missing)


async def test_a_sweep_notes_the_first_tasks_of_keys(scene: Scene, clean_redis_url: str):
    await scene.sweep(queue="orders")
    client = raw_client(clean_redis_url)
    namespace = await read_namespace(client)
    await client.aclose()
    faults = namespace.queues["orders"].faults
    assert [fault for fault in faults if "first tasks {" in fault] == []


async def test_its_queues_answer_as_they_did(scene: Scene, dump: Any):
    states = {name: await scene.store.do(Status(name)) for name in QUEUES}
    assert {name: status and status.state.breaker.state for name, status in states.items()} == {
        **dict.fromkeys(QUEUES, BreakerState.CLOSED),
        "open": BreakerState.OPEN,
        "half-open": BreakerState.HALF_OPEN,
    }
    paused, parked, starved = states["paused"], states["parked"], states["starved"]
    assert paused is not None
    assert paused.state.paused
    until_at = dump["tasks"].get("snoozer", {}).get("ready_at")
    assert snoozed_until(paused.state) == until_at
    assert parked is not None
    assert sum(parked.waiting.values()) == 3
    assert set(parked.stuck) == {"m:<locals>.f|;,% \x1f", "m:g", "@w9"}
    assert starved is not None
    assert starved.held == 2
    running = await scene.store.do(Running("running"))
    assert {task.id for task in running} >= {"running", "stopping", "running-large"}


async def test_its_overrides_notes_and_times_are_in_force(scene: Scene, dump: Any):
    status = await scene.store.do(Status("steered"))
    if status is None:
        return  # it is older
    settings, declared = status.state.settings, status.state.declared
    assert (settings.max_workers, settings.max_retries, settings.max_size) == (1, 0, 0)
    assert settings.rates == ((30, 700, 4),)
    code = write.SETTINGS
    assert dict(declared) == {
        "max_workers": code.max_workers,
        "max_retries": code.max_retries,
        "max_size": code.max_size,
        "rates": (),
    }
    assert {hold.note for hold in status.state.holds.values()} == {"Eve: näh =~;"}
    await scene.advance(120_000)  # the sample was written in the meantime
    assert (await scene.sweep(queue="steered")).expired == ("short-lived",)
    assert (await scene.task("short-lived")).status == "cancelled"


async def test_its_failed_attempts_are_read(scene: Scene, dump: Any):
    if not any(":attempts:" in key for key in dump["keys"]):
        return  # it is older
    life = (await scene.task("failed")).life
    [found] = await scene.store.do(ReadAttempts("orders", [LifeRef("failed", life)]))
    if len(found) == 1:
        return  # the first form was written without a report
    assert [(one.number, one.how, one.process) for one in found] == [
        (1, "failed", "w1"),
        (2, "failed", "w1"),
    ]
    for one in found:
        told = Report(group=one.group, kind=one.kind, message=one.message, traceback=one.traceback)
        assert told == write.REPORT
    page = await scene.store.do(ListGroups("orders", "", 10))
    assert page is not None
    assert {group.name: group.count for group in page.groups} == {
        write.REPORT.group: 1,
        "failed": 1,
        "interrupted": 1,
    }


async def test_its_dead_letters_are_listed_once_maintenance_has_met_them(scene: Scene):
    pieces = 0
    while (await scene.store.do(Sweep("orders", 2, PRESENCE_MS, None))).more:
        pieces += 1
    page = await scene.store.do(ListFailed("orders", None, 100))
    assert page is not None
    assert {task.id for task in page.tasks} == {"failed", "failed-large", "once"}
    assert pieces > 1
    for name in ("failed", "once"):
        assert await scene.replay(name, queue="orders") is Word.DONE
    page = await scene.store.do(ListFailed("orders", None, 100))
    assert page is not None
    assert {task.id for task in page.tasks} == {"failed-large"}


QUEUES = ("orders", "running", "parked", "open", "half-open", "starved", "paused")
WAITING = {"queued", "retry", "processing"}


async def test_a_namespace_is_drained(clean_redis_url: str, dump: Any):
    """By the real clock: what was deferred is due, and leases have ended."""
    write.restore(clean_redis_url, dump["keys"])
    expected = {
        task_id: task
        for task_id, task in dump["tasks"].items()
        if task["status"] in WAITING and task["call"]["function"] == write.ECHO
    }
    async with TaskQueueManager(clean_redis_url, tick=0.5) as manager:
        await manager.resume_queue("paused")
        later = {"steered": "steered", "saved": "running-saved", "unique": "debounced"}
        later["scheduled"] = next((task for task in dump["tasks"] if task.startswith("rare@")), "")
        names = [*QUEUES, *(name for name, task in later.items() if task in dump["tasks"])]
        for name in names:
            config = QueueConfig(name, max_workers=20, max_circuit_breaker_failures=None, lease=5)
            await manager.create_queue(config, functions=[jobs.echo])
        if "steered" in names:
            await manager.resume_queue("steered")
        for name in names:
            await once(partial(manager.get_queue_status, name), is_drained)
        for task_id, task in expected.items():
            info = await manager.get_task_status(task_id)
            if task_id == "stopping" or has_expired(task, dump):
                assert info.status == "cancelled"
            else:
                assert (task_id, info.status, info.result) == (task_id, "completed", value_of(task))
        for task_id in ("completed", "completed-large", "completed-both"):
            assert (await manager.get_task_status(task_id)).status == "completed"
        assert await manager.replay_task("failed-large")
        again = await once(
            lambda: manager.get_task_status("failed-large"), lambda info: info.status == "completed"
        )
        assert again.result == write.LARGE
    with contextlib.closing(connect(clean_redis_url)) as client:
        left: Any = client.hkeys("kew:contents")
        assert set(left) <= {task_id.encode() for task_id in dump["tasks"]}
        assert client.keys("kew:*:checkpoint:*") == []


async def test_schedules_are_listed_and_go_on(clean_redis_url: str):
    dump = DUMPS["schedules"]
    write.restore(clean_redis_url, dump["keys"])
    [tick] = [task for task in dump["tasks"] if task.startswith("rare@")]
    async with TaskQueueManager(clean_redis_url) as manager:
        rare, weekly = await manager.schedules.list()
        assert (rare.name, rare.queue, rare.last_task_id) == ("rare", "scheduled", tick)
        assert rare.every == write.FOREVER_MS / 1000
        assert (weekly.cron, weekly.tz, weekly.overlap) == ("0 9 * * mon", "Europe/Berlin", "allow")
        assert (weekly.paused, weekly.jitter) == (True, 30)
        assert weekly.note == "ada: é\n wrong"
        await manager.schedules.resume("weekly")
        assert not (await manager.schedules.get("weekly")).paused


def has_expired(task: Any, dump: Any) -> bool:
    """By the real clock. Processes that knew nothing of it wrote no index of such tasks."""
    is_known = any(key.endswith(":expiring") for key in dump["keys"])
    return is_known and task["call"].get("start_by_ms", 0) > 0 and task["attempt"] == 0


def is_drained(status: dict[str, Any]) -> bool:
    stuck = sum(status["stuck_functions"].values())
    return bool(status["queued_tasks"] <= stuck and not status["current_workers"])


def value_of(task: Any) -> Any:
    (value,), _ = msgspec.msgpack.decode(task["call"]["payload"].encode("latin-1"))
    return value


def test_notifications_are_read():
    assert notice_of(b"w orders") == Woken("orders")
    assert notice_of(b"c orders a b") == StopAsked("orders", "a b")
    assert notice_of(b"e a b") == TaskEnded("a b")
    assert notice_of(b"z something new") is None
