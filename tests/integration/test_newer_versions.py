"""Data of a newer version of kew is left alone, counted and logged once, and a process of that version goes on with it.

The newer version is this library with another number: its records are those of version 2, but begin with a 4.
"""

import logging
from collections.abc import AsyncIterator
from importlib import resources
from typing import Any

import attrs
import pytest

from kew.adapters.redis import RedisStore, address
from kew.adapters.redis.library import Library
from kew.adapters.redis.settings import FORMAT
from kew.app.ports import Discard, Find, ListUnreadable, Peek, ReadSettings, SetOverrides, Watch
from kew.domain.config import Settings
from kew.domain.requests import Word
from kew.domain.task import TaskStatus, Unreadable
from tests.support.scene import HIGH, LOW, MEDIUM, QUEUE, START_MS, Scene, call, group
from tests.support.stores import CLOCK_FROM_A_KEY, raw_client, redis_scene

TASKS, STATE = "kew:tasks", f"kew:{{{QUEUE}}}:state"
PAYLOAD = b"p" * 3_000


def include(name: str) -> str:
    lua = resources.files("kew.adapters.redis") / "lua" / "include" / f"{name}.lua"
    return lua.read_text()


def library_4() -> Library:
    record, state = include("record"), include("state")
    for old, new in (
        ("'^2(", "'^[24]("),
        ("version == 50 then", "(version == 50 or version == 52) then"),
    ):
        assert old in record
        record = record.replace(old, new)
    assert "VERSION = 3" in state
    state, claim = [
        text.replace("SETTINGS_FORMAT", str(FORMAT + 1))
        for text in (state.replace("VERSION = 3", "VERSION = 4"), include("claim"))
    ]
    return Library({"now": CLOCK_FROM_A_KEY, "record": record, "state": state, "claim": claim})


@attrs.frozen
class Mixed:
    """A namespace with processes of two versions: `old` is this version."""

    old: Scene
    new: Scene
    client: Any

    async def make_newer(self, *task_ids: str) -> None:
        """As if a process of the newer version had stored them."""
        for task_id in task_ids:
            raw = await self.client.hget(TASKS, task_id)
            assert raw.startswith(b"2")
            await self.client.hset(TASKS, task_id, b"4" + raw[1:])

    async def newer(self) -> int:
        return (await self.old.status()).newer


@pytest.fixture
async def mixed(any_redis_url: str) -> AsyncIterator[Mixed]:
    async with redis_scene(any_redis_url) as old:
        new_store = RedisStore(address(any_redis_url), library=library_4())
        await old.store.open()
        await new_store.open()
        await old.declare()
        client = raw_client(any_redis_url)
        try:
            yield Mixed(old, attrs.evolve(old, store=new_store, listeners=[]), client)
        finally:
            await client.aclose()
            await new_store.close()
            await old.close()


@pytest.mark.parametrize("options", [{}, {"delay_ms": 50}, {"function": "g"}])
async def test_newer_tasks_wait_for_a_newer_process_and_the_others_run(
    mixed: Mixed, options: dict[str, Any], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING, logger="kew")
    await mixed.old.submit("a", "b", "c", "d", payload=PAYLOAD, **options)
    await mixed.make_newer("a", "c")
    await mixed.old.advance(50)
    worker = await mixed.old.worker("w1", "f", "g")
    assert await worker.claim_ids() == ["b", "d"]
    assert await worker.claim_ids() == []
    assert await mixed.newer() == 2
    assert await mixed.old.waiting() == 2
    assert (await mixed.old.status()).stuck == {}
    assert len([each for each in caplog.records if "newer version of kew" in each.message]) == 1
    granted = await (await mixed.new.worker("w2", "f", "g")).claim(10)
    assert [(task.id, task.call.payload) for task in granted] == [("a", PAYLOAD), ("c", PAYLOAD)]
    assert (await mixed.newer(), await mixed.old.waiting()) == (0, 0)
    assert not await mixed.client.exists(f"kew:{{{QUEUE}}}:parked")


async def test_a_newer_process_goes_by_priority_and_age_again(mixed: Mixed):
    await mixed.old.submit("low", priority=LOW, payload=PAYLOAD)
    await mixed.old.submit("first", payload=PAYLOAD)
    await mixed.old.submit("high", priority=HIGH, payload=PAYLOAD)
    await mixed.make_newer("low", "first", "high")
    await mixed.old.submit("second", function="g", priority=MEDIUM)
    assert await (await mixed.old.worker("w1", "f")).claim_ids() == []
    new = await mixed.new.worker("w2", "f", "g")
    assert await new.claim_ids() == ["high", "first", "second", "low"]


async def test_more_newer_tasks_than_a_claim_looks_at_hide_none_behind_them(mixed: Mixed):
    await mixed.old.declare(max_workers=300)
    ids = [f"t{n}" for n in range(250)]
    await mixed.old.submit(*ids, payload=PAYLOAD)
    await mixed.make_newer(*ids)
    await mixed.old.submit("last")
    worker = await mixed.old.worker()
    found: list[str] = []
    for _ in range(10):
        found += await worker.claim_ids(1)
    assert found == ["last"]
    assert await mixed.newer() == 250
    new, granted = await mixed.new.worker("w2"), list[str]()
    for _ in range(9):
        granted += await new.claim_ids(30)
    assert sorted(granted) == sorted(ids)


async def test_a_process_that_knows_the_version_is_woken_for_what_others_leave(mixed: Mixed):
    new = await mixed.new.worker("w2")
    assert await new.claim_ids() == []
    listener = await mixed.new.listen("w2")
    await mixed.old.submit("a", payload=PAYLOAD)
    await listener.next()
    await mixed.make_newer("a")
    assert await new.claim_ids() == ["a"]


async def test_a_newer_task_whose_lease_has_ended_gives_its_place_back(mixed: Mixed):
    await mixed.old.declare(max_workers=1)
    new, old = await mixed.new.worker("w2"), await mixed.old.worker("w1")
    await mixed.old.submit("a", payload=PAYLOAD)
    await new.claim_one(lease_ms=1_000)
    await mixed.make_newer("a")
    await mixed.old.submit("b")
    await mixed.old.advance(1_001)
    assert await old.claim_ids() == ["b"]
    assert await mixed.newer() == 1
    assert (await mixed.old.status()).held == 1
    await mixed.old.advance(60_000)
    task = await (await mixed.new.worker("w3")).claim_one()
    assert (task.id, task.attempt, task.losses) == ("a", 2, 1)
    assert task.call.payload == PAYLOAD


async def test_an_ended_newer_task_is_not_removed_by_others(mixed: Mixed):
    await mixed.old.declare(task_ttl_ms=1_000)
    await mixed.old.submit("a", payload=PAYLOAD)
    await mixed.old.cancel("a")
    await mixed.make_newer("a")
    await mixed.old.advance(1_001)
    assert (await mixed.old.sweep()).removed == 0
    assert (await mixed.old.sweep()).removed == 0
    await mixed.old.advance(3_600_001)
    assert (await mixed.new.sweep()).removed == 1
    assert not await mixed.client.exists(TASKS, "kew:contents")


async def test_a_newer_closure_of_a_process_that_has_gone_is_kept_for_a_newer_process(mixed: Mixed):
    await mixed.old.submit("a", function="@gone/f", payload=PAYLOAD)
    await mixed.make_newer("a")
    assert (await mixed.old.sweep()).orphaned == ()
    assert await mixed.newer() == 1
    await (await mixed.new.worker("w2")).claim()
    await mixed.new.sweep()
    assert (await mixed.new.task("a")).status is TaskStatus.FAILED


async def test_those_that_ask_for_a_newer_task_are_told_so_and_its_id_is_in_use(mixed: Mixed):
    await mixed.old.submit("a", payload=PAYLOAD)
    await mixed.make_newer("a")
    (found,) = await mixed.old.store.do(Find(["a"]))
    (watched,) = await mixed.old.store.do(Watch(QUEUE, ["a"], "w1"))
    for each in (found, watched):
        assert isinstance(each, Unreadable)
        assert each.is_newer
    words = await mixed.old.try_submit(group(call("a", nonce="other")), group(call("a")))
    assert [outcome.word for outcome in words] == [Word.DUPLICATE, Word.SAME]
    assert await mixed.old.store.do(ListUnreadable(QUEUE, 10)) == []
    assert await mixed.old.store.do(Discard(QUEUE, "a")) is Word.MISSING
    await mixed.old.purge()
    assert not await mixed.client.exists(TASKS, "kew:contents")


async def test_a_cancelled_newer_task_leaves_its_shelf(mixed: Mixed):
    await mixed.old.submit("a", "b", payload=PAYLOAD)
    await mixed.make_newer("a", "b")
    assert await (await mixed.old.worker()).claim_ids() == []
    assert await mixed.new.cancel("a") is Word.DONE
    assert (await mixed.newer(), await mixed.old.waiting()) == (1, 1)
    assert await (await mixed.new.worker("w2")).claim_ids() == ["b"]


# --- settings and counts


async def settings_of(mixed: Mixed) -> bytes:
    text: bytes = await mixed.client.hget(STATE, "settings")
    return text


async def test_settings_that_only_a_newer_version_obeys_stop_this_one_from_claiming(
    mixed: Mixed, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING, logger="kew")
    await mixed.client.hset(
        STATE, "settings", b"format=%d " % (FORMAT + 1) + await settings_of(mixed)
    )
    worker = await mixed.old.worker()
    await mixed.old.submit("a", "b")
    assert await worker.claim_ids() == []
    assert await worker.claim_ids() == []
    assert len([each for each in caplog.records if "newer version of kew" in each.message]) == 1
    new = await mixed.new.worker("w2")
    assert [task.id for task in await new.claim()] == ["a"]
    await mixed.old.declare_settings(Settings(max_workers=7))  # they stay in force
    assert b"format=%d" % (FORMAT + 1) in await settings_of(mixed)
    assert await worker.claim_ids() == []


async def test_settings_that_this_version_does_not_know_are_kept_by_a_declaration(mixed: Mixed):
    known = await settings_of(mixed)
    await mixed.client.hset(STATE, "settings", b"colour=5 " + known + b" shape=6")
    before = await mixed.old.store.do(ReadSettings(QUEUE))
    same = await mixed.old.declare_settings(Settings())
    assert await mixed.old.store.do(ReadSettings(QUEUE)) == before
    assert same.replaced is None
    changed = await mixed.old.declare_settings(Settings(max_workers=7))
    assert changed.replaced == Settings()
    assert sorted((await settings_of(mixed)).split()) == sorted(
        [*known.replace(b"max_workers=10", b"max_workers=7").split(), b"colour=5", b"shape=6"]
    )


async def test_what_a_newer_version_adds_to_the_counts_stays(mixed: Mixed):
    counts = await mixed.client.hget(STATE, "counts")
    await mixed.client.hset(STATE, "counts", counts + b" more 17")
    worker = await mixed.old.worker()
    await mixed.old.submit("a")
    assert await worker.claim_ids() == ["a"]
    now = await mixed.client.hget(STATE, "counts")
    assert now.endswith(b" %d more 17" % START_MS)
    assert (await mixed.old.store.do(Peek(QUEUE))).has_waiting is False


# --- extras


@pytest.mark.parametrize("options", [{}, {"delay_ms": 50}, {"payload": PAYLOAD}])
async def test_a_task_with_an_unknown_extra_waits_for_a_newer_process(
    mixed: Mixed, options: dict[str, Any]
):
    await mixed.old.submit("a", key="acme", **options)
    await mixed.old.submit("b")
    raw = await mixed.client.hget(TASKS, "a")
    await mixed.client.hset(TASKS, "a", raw.replace(b"key=acme", b"key=acme,colour=red"))
    await mixed.old.advance(50)
    worker = await mixed.old.worker("w1")
    assert await worker.claim_ids() == ["b"]
    assert await mixed.newer() == 1
    (found,) = await mixed.old.store.do(Find(["a"]))
    assert isinstance(found, Unreadable)
    assert found.is_newer
    assert b"colour=red" in await mixed.client.hget(TASKS, "a")
    assert await mixed.old.store.do(ListUnreadable(QUEUE, 10)) == []


async def test_a_newer_task_is_not_ended_when_its_time_is_over_and_hides_no_other(mixed: Mixed):
    await mixed.old.submit("a", "b", start_by_ms=5_000)
    raw = await mixed.client.hget(TASKS, "a")
    await mixed.client.hset(TASKS, "a", raw.replace(b"start_by", b"colour=red,start_by"))
    await mixed.old.submit("c")
    await mixed.old.advance(5_000)
    worker = await mixed.old.worker("w1")
    assert await worker.claim_ids() == ["c"]
    assert (await mixed.old.task("b")).status is TaskStatus.CANCELLED
    await mixed.old.sweep()
    assert await mixed.client.zcard(f"kew:{{{QUEUE}}}:expiring") == 1  # for a process that knows it
    assert await mixed.newer() == 1


async def test_this_version_takes_what_processes_before_it_left(mixed: Mixed):
    """They put a record of version 3 on the shelf of that version."""
    await mixed.old.submit("a", cost=2, delay_ms=50)
    await mixed.old.advance(50)
    prefix = f"kew:{{{QUEUE}}}:"
    counts = (await mixed.client.hget(STATE, "counts")).split()
    counts[7] = b"1"
    ((member, score),) = await mixed.client.zrange(f"{prefix}waiting2", 0, -1, withscores=True)
    await mixed.client.zrem(f"{prefix}waiting2", member)
    await mixed.client.zadd(f"{prefix}parked:2:?3", {member: score})
    await mixed.client.sadd(f"{prefix}parked", "?3")
    await mixed.client.hset(STATE, "counts", b" ".join(counts))
    assert await (await mixed.old.worker("w1")).claim_ids() == ["a"]


async def test_an_override_comes_back_after_a_process_of_an_older_version_declared_the_queue(
    mixed: Mixed,
):
    await mixed.old.store.do(SetOverrides(QUEUE, {"max_workers": 1, "rates": ()}, (), "by-hand"))
    text = await settings_of(
        mixed
    )  # an older process replaces all that it knows, and leaves the rest
    await mixed.client.hset(STATE, "settings", text.replace(b" max_workers=1 ", b" max_workers=7 "))
    found = await mixed.old.store.do(ReadSettings(QUEUE))
    assert found is not None
    assert (found.settings.max_workers, dict(found.declared)["max_workers"]) == (1, 7)
    await mixed.old.submit("a", "b")
    assert await (await mixed.old.worker()).claim_ids() == ["a"]
    again = await mixed.old.store.do(ReadSettings(QUEUE))
    assert again == attrs.evolve(found, version=3, edition="by-hand+")
    assert b" max_workers=1 " in await settings_of(mixed)


async def test_a_signature_is_not_that_of_an_override_by_a_process_that_signs_nothing(mixed: Mixed):
    await mixed.old.store.do(SetOverrides(QUEUE, {"max_workers": 1}, (), "by-hand", "ada"))
    assert (await mixed.old.status()).state.signed["max_workers"].by == "ada"
    text = await settings_of(mixed)
    changed = text.replace(b" max_workers=1 ", b" max_workers=3 ").replace(
        b"=max_workers~1~", b"=max_workers~3~"
    )
    await mixed.client.hset(STATE, "settings", changed)
    status = await mixed.old.status()
    assert (status.state.settings.max_workers, status.state.signed) == (3, {})


async def test_only_a_process_that_knows_an_override_claims_under_it(mixed: Mixed):
    await mixed.old.store.do(SetOverrides(QUEUE, {"timeout_ms": 500}, (), "by-hand"))
    assert b" format=4" in await settings_of(mixed)
    await mixed.old.store.do(SetOverrides(QUEUE, {"max_workers": 1}, ("timeout_ms",), "two"))
    assert b"format" not in await settings_of(mixed)
    await mixed.old.store.do(SetOverrides(QUEUE, {"rates": ((5, 1_000, 0),)}, (), "three"))
    assert b" format=3" in await settings_of(mixed)


async def test_an_override_lets_no_older_process_claim_from_a_queue_with_keys(mixed: Mixed):
    await mixed.old.store.do(SetOverrides(QUEUE, {"rates": ((5, 1_000, 0),)}, (), "by-hand"))
    assert b" format=3" in await settings_of(mixed)
    await mixed.old.declare(key_workers=1)
    assert b" format=5" in b" " + await settings_of(mixed)
    await mixed.old.store.do(SetOverrides(QUEUE, {}, ("rates",), "two"))
    assert b" format=5" in b" " + await settings_of(mixed)
