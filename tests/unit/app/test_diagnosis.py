"""What a diagnosis says of a server, of two clocks, and of a queue's indexes."""

import pytest

from kew import QueueConfig, TaskQueueManager
from kew.app.diagnosis import Diagnosis, Finding, clock, preflight, words
from kew.app.ports import IndexFault

SOUND = {
    "redis_version": "7.2.4",
    "aof_enabled": "1",
    "maxmemory": "0",
    "maxmemory_policy": "noeviction",
    "used_memory": "1048576",
}


def verdicts(**changes: str) -> dict[str, str]:
    return {each.name: each.verdict for each in preflight({**SOUND, **changes})}


def test_a_sound_server_is_well():
    assert set(verdicts().values()) == {"ok"}


@pytest.mark.parametrize(
    ("name", "verdict", "facts"),
    [
        ("persistence", "warning", {"aof_enabled": "0"}),
        ("persistence", "failed", {"aof_last_write_status": "err"}),
        ("persistence", "failed", {"aof_enabled": "0", "rdb_last_bgsave_status": "err"}),
        ("eviction", "warning", {"maxmemory": "5", "maxmemory_policy": "volatile-lru"}),
        ("eviction", "ok", {"maxmemory_policy": "volatile-lru"}),
        ("memory", "warning", {"maxmemory": "1048576"}),
        ("memory", "ok", {"maxmemory": "10485760"}),
        ("rights", "failed", {"kew_lacking": "ZADD"}),
        ("sentinels", "ok", {"kew_sentinels": "3", "kew_sentinels_amiss": ""}),
        ("sentinels", "warning", {"kew_sentinels": "3", "kew_sentinels_amiss": "one: no answer"}),
    ],
)
def test_each_trouble_of_a_server_is_found(name, verdict, facts):
    assert verdicts(**facts)[name] == verdict


def test_a_store_in_memory_has_no_server():
    assert [each.name for each in preflight({})] == ["store"]


@pytest.mark.parametrize(("synchronous", "lost"), [("full", "nothing"), ("normal", "the last")])
def test_a_sqlite_file_says_what_a_power_failure_loses(synchronous: str, lost: str):
    facts = {"sqlite_version": "3.40", "sqlite_file": "k.db", "sqlite_synchronous": synchronous}
    [finding] = preflight(facts)
    assert (finding.name, finding.verdict) == ("store", "ok")
    assert "SQLite 3.40, in k.db; a power failure" in finding.text
    assert lost in finding.text


def test_a_clock_that_differs_is_a_warning():
    assert clock(10_000, 10_900).verdict == "ok"
    ahead, behind = clock(10_000, 15_000), clock(15_000, 10_000)
    assert (ahead.verdict, behind.verdict) == ("warning", "warning")
    assert "5 s ahead of" in ahead.text
    assert "5 s behind" in behind.text


def test_faults_are_sentences():
    faults = [
        IndexFault("lease", "t-1", "no record"),
        IndexFault("waiting", "t-2", "status c"),
        IndexFault("count", "2", "5 4"),
    ]
    assert words(faults) == (
        "task t-1 is among the leases, and there is no record; "
        "task t-2 is among the waiting tasks, and there is status c; "
        "5 waiting tasks of medium priority are counted, and 4 are indexed"
    )


def test_a_diagnosis_is_well_unless_something_failed():
    warning = Finding("a", "warning", "text")
    assert Diagnosis((warning,)).is_well
    failed = Diagnosis((warning, Finding("b", "failed", "text", "remedy")))
    assert failed.to_dict()["is_well"] is False
    assert failed.to_dict()["findings"][1]["remedy"] == "remedy"


async def test_queues_in_memory_are_sound():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        diagnosis = await manager.diagnose(repair=True)
        assert [each.name for each in diagnosis.findings] == ["store", "queue q"]
        assert diagnosis.is_well
