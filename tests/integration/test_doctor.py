"""`kew doctor` on a real Redis: each damage to an index is found, and mended by maintenance."""

import asyncio
import contextlib
from pathlib import Path

import pytest
import redis.asyncio

from kew import PerKey, QueueConfig
from tests.support import jobs
from tests.support.commands import kew
from tests.support.redis_process import LOOPBACK, connect
from tests.support.rights import rights

STATE, LEASES, WAITING = (f"kew:{{mails}}:{part}" for part in ("state", "leases", "waiting2"))


@pytest.fixture
async def client(clean_redis_url):
    async with redis.asyncio.from_url(clean_redis_url, decode_responses=True) as made:
        yield made


@pytest.fixture
async def manager(managers, clean_redis_url):
    made = await managers(clean_redis_url)
    await made.create_queue(QueueConfig("mails"), work=False)
    for number in range(3):
        await made.submit_task(f"t-{number}", "mails", "t", jobs.echo, None)
    await made.submit_task("later", "mails", "t", jobs.echo, None, _defer_by=3600)
    return made


async def findings(url: str, *options: str) -> dict[str, dict[str, str]]:
    printed = await kew("doctor", "--json", *options, url=url)
    return {finding["name"]: finding for finding in printed.lines}


async def test_a_sound_redis_passes(manager, clean_redis_url):
    printed = await kew("doctor", url=clean_redis_url)
    assert printed.code == 0, printed.out
    found = await findings(clean_redis_url)
    assert {"version", "functions", "persistence", "eviction", "memory", "role", "clock"} < {*found}
    assert found["queue mails"]["text"] == "its indexes agree with its records"


async def test_an_entry_without_a_record_is_found_and_mended(manager, client, clean_redis_url):
    await client.zadd(LEASES, {"000000000099ghost": 5})
    printed = await kew("doctor", url=clean_redis_url)
    assert printed.code == 1
    assert "task ghost is among the leases, and there is no record" in printed.words
    assert await client.zcard(LEASES) == 1, "it is a dry run"
    mended = await kew("doctor", "--repair", url=clean_redis_url)
    assert (mended.code, "mended: task ghost" in mended.words) == (0, True)
    assert (await kew("doctor", url=clean_redis_url)).code == 0


async def test_wrong_counts_are_found_and_mended(manager, client, clean_redis_url):
    counts = (await client.hget(STATE, "counts")).split(" ")
    assert counts[5] == "4"
    counts[5] = "9"
    await client.hset(STATE, "counts", " ".join(counts))
    found = (await findings(clean_redis_url))["queue mails"]
    assert "9 waiting tasks of medium priority are counted, and 4 are indexed" in found["text"]
    found = (await findings(clean_redis_url, "--repair"))["queue mails"]
    assert (found["verdict"], "5 tasks seem to be in no index" in found["text"]) == (
        "warning",
        True,
    )
    assert (await manager.get_queue_status("mails"))["queued_tasks"] == 4


async def test_wrong_counts_of_keys_are_found_and_mended(manager, client, clean_redis_url):
    await manager.create_queue(QueueConfig("keyed", per_key=PerKey(max_workers=2)), work=False)
    for number in range(3):
        await manager.submit_task(f"k-{number}", "keyed", "t", jobs.echo, None, _key="acme, eu")
    assert (await kew("doctor", url=clean_redis_url)).code == 0
    turns = "kew:{keyed}:keyed:turns"
    [(name, text)] = (await client.hgetall(turns)).items()
    await client.hset(turns, name, text.replace(" 3", " 9"))
    await client.zadd("kew:{keyed}:keyed:held", {name[2:]: 4})
    printed = await kew("doctor", url=clean_redis_url)
    assert printed.code == 1
    assert "9 waiting tasks of key acme, eu are counted, and 3 are in its line" in printed.words
    assert "4 leases of key acme, eu are counted, and 0 are held" in printed.words
    mended = await kew("doctor", "--repair", url=clean_redis_url)
    assert (mended.code, "mended: 9 waiting tasks of key" in mended.words) == (0, True), mended.out
    assert (await kew("doctor", url=clean_redis_url)).code == 0


async def test_a_task_in_the_wrong_place_is_found(manager, client, clean_redis_url):
    [member] = await client.zrange(WAITING, 0, -1)
    await client.zadd(WAITING.replace("2", "1"), {member: 5})
    found = (await findings(clean_redis_url))["queue mails"]
    assert "task later is among the waiting tasks, and there is status w" in found["text"]


async def test_a_server_that_keeps_nothing_and_evicts_is_a_warning(private_redis):
    server = private_redis(maxmemory="50mb", maxmemory_policy="volatile-lru", appendonly="no")
    found = await findings(server.url)
    assert found["persistence"]["verdict"] == found["eviction"]["verdict"] == "warning"


async def test_a_server_that_evicts_tasks_is_refused_with_advice(private_redis):
    server = private_redis(maxmemory="50mb", maxmemory_policy="allkeys-lru")
    printed = await kew("doctor", url=server.url)
    assert printed.code == 1
    assert "set maxmemory-policy noeviction" in printed.err


async def test_a_replica_is_refused_and_its_primary_named(private_redis):
    primary = private_redis()
    replica = private_redis(replicaof=f"{LOOPBACK} {primary.port}")
    printed = await kew("doctor", url=replica.url)
    assert printed.code == 1
    assert f"it is a replica; use its primary, {LOOPBACK}:{primary.port}" in printed.words


async def test_a_snapshot_that_failed_is_found(private_redis, tmp_path: Path):
    server = private_redis(directory=tmp_path, dbfilename="taken")
    (tmp_path / "taken").mkdir()
    with contextlib.closing(connect(server.url)) as client:
        with pytest.raises(redis.RedisError):
            client.save()
        client.bgsave()
        while client.info("persistence")["rdb_bgsave_in_progress"]:  # noqa: ASYNC110 - Redis doesn't say when
            await asyncio.sleep(0.01)
        found = await findings(server.url)
    assert found["persistence"]["verdict"] == "failed"
    assert "the last snapshot failed" in found["persistence"]["text"]


async def test_a_server_without_functions_is_refused_with_advice(private_redis, tmp_path: Path):
    (tmp_path / "more.conf").write_text("rename-command FUNCTION NONE\n")
    server = private_redis(include=str(tmp_path / "more.conf"))
    printed = await kew("doctor", url=server.url)
    assert printed.code == 1
    assert "doesn't know the command FUNCTION LOAD, which kew needs" in printed.words


@pytest.mark.parametrize("right", ["zadd", "smembers", "publish", "eval", "fcall"])
async def test_a_right_that_is_missing_is_named(private_redis, right: str):
    server = private_redis()
    url = server.url.replace("redis://", "redis://kew:s3cret@")
    with contextlib.closing(connect(server.url)) as client:
        client.execute_command("ACL", "SETUSER", "kew", "on", ">s3cret", *rights())
        sound = await kew("doctor", url=url)
        assert (sound.code, "may use all commands" in sound.words) == (0, True), sound.words
        client.execute_command("ACL", "SETUSER", "kew", f"-{right}")
    printed = await kew("doctor", url=url)
    assert printed.code == 1
    assert right.upper() in printed.words
    assert "docs/redis.md has the ACL line" in printed.words
