"""`python -m tests.golden.write FILE`: store one of everything in Redis, and write its keys to a file.

The file, named after the commit, says what kew stored then, so that tests can show that later versions read it.
When something is stored in a new form, write one more file, and leave the others as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import attrs
import msgspec

from kew.adapters.redis import RedisStore, address
from kew.adapters.redis.library import Library
from kew.app import ports
from kew.domain.config import Settings
from kew.domain.events import Failed, NotStarted, Released, Snoozed, Succeeded
from kew.domain.progress import ProgressReport
from kew.domain.reports import Report
from kew.domain.requests import ClaimRequest, Group, LeaseRef, Settlement, Word
from kew.domain.schedule import (
    Overlap,
    Schedule,
    ScheduleVerb,
    TickCommit,
    call_of,
    tick_nonce,
)
from kew.domain.task import Submission, Task
from tests.support.raw_redis import read_namespace
from tests.support.redis_process import ProcessRedis, connect
from tests.support.redis_source import any_binary
from tests.support.scene import START_MS
from tests.support.stores import CLOCK_FROM_A_KEY, CLOCK_KEY, raw_client

ECHO = "tests.support.jobs:echo"
FOREVER_MS = 10**12
SETTINGS = Settings(
    max_workers=20, breaker_failures=0, task_ttl_ms=FOREVER_MS, dead_letter_ttl_ms=FOREVER_MS
)
REPORT = Report(
    group="ValueError@shop:sell", kind="ValueError", message="é\n|", traceback="in sell\n é 1="
)
LARGE = "x" * 1_100
RESULT = msgspec.msgpack.encode("done")
LARGE_RESULT = msgspec.msgpack.encode(LARGE)


async def do(store: Any, name: str, *arguments: Any) -> None:
    """Carry out an operation; in earlier versions of kew they were methods."""
    if hasattr(store, name):
        await getattr(store, name)(*arguments)
    else:
        await store.do(getattr(ports, name.capitalize())(*arguments))


@attrs.define
class Writer:
    """Submits tasks to one queue, and claims and settles them as its process `w1`."""

    store: RedisStore
    client: Any
    queue: str
    sequences: dict[str, int] = attrs.field(factory=dict)

    async def advance(self, ms: int) -> None:
        await self.client.incrby(CLOCK_KEY, ms)

    async def submit(self, task_id: str, value: Any = None, **options: Any) -> None:
        fields = {
            "nonce": f"nonce{task_id}",
            "task_type": "test",
            "function": ECHO,
            "priority": 1,
            "payload": msgspec.msgpack.encode([[value], {}]),
            **options,
        }
        group = Group(submissions=(Submission(id=task_id, **fields),))
        (outcome,) = (await self.store.submit(self.queue, [group])).outcomes
        assert outcome.word == "done"

    async def claim(self, want: int = 1, who: str = "w1", lease_ms: int = 60_000) -> Any:
        self.sequences[who] = self.sequences.get(who, 0) + 1
        request = ClaimRequest(
            incarnation=who, lane=0, sequence=self.sequences[who], want=want, lease_ms=lease_ms
        )
        return (await self.store.claim(self.queue, request)).tasks

    async def run(self, task_id: str, event: Any, value: Any = None, **options: Any) -> None:
        """Submit a task, claim it and settle it so."""
        await self.submit(task_id, value, **options)
        await self.again(event)

    async def again(self, event: Any) -> None:
        """Claim the one task that is due, and settle it so."""
        (task,) = await self.claim()
        await self.store.settle(
            self.queue, [Settlement(task_id=task.id, lease=task.lease, event=event)]
        )


async def write_ended(orders: Writer) -> None:
    await orders.run("completed", Succeeded(RESULT))
    await orders.run("completed-large", Succeeded(LARGE_RESULT))
    await orders.run("completed-both", Succeeded(LARGE_RESULT), LARGE)
    await orders.run("completed-from-large", Succeeded(RESULT), LARGE)
    failed = Failed(error="ValueError: é\n|", retry_after_ms=None, report=REPORT)
    await orders.run("failed", attrs.evolve(failed, retry_after_ms=0))
    await orders.again(failed)
    await orders.run("failed-large", Failed(error="no", retry_after_ms=None), LARGE)
    await orders.run("once", Released(started=True), at_most_once=True)
    await orders.submit("cancelled")
    await do(orders.store, "cancel", "orders", "cancelled", None)
    await orders.submit("cancelled-large", LARGE)
    await do(orders.store, "cancel", "orders", "cancelled-large", None)


async def write_waiting(orders: Writer) -> None:
    await orders.run("retried", Failed(error="again", retry_after_ms=3_600_000), priority=2)
    await orders.run("retried-large", Failed(error="", retry_after_ms=3_600_000), LARGE)
    await orders.run("replayed", Failed(error="no", retry_after_ms=None), priority=3)
    for priority in (1, 2, 3):
        await orders.submit(f"plain-{priority}", priority, priority=priority)
    await orders.submit("large", LARGE)
    await orders.submit("deferred", 5, delay_ms=3_600_000)
    await orders.submit("deferred-large", LARGE, delay_ms=3_600_000)
    await orders.submit("due", 6, due_at=START_MS + 7_200_000, priority=3)
    await orders.submit(
        "options", 7, at_most_once=True, max_retries=0, retry_delay_ms=250, timeout_ms=9_000
    )
    await orders.submit("keyed", 9, key="a,b=c% é\n\x00", cost=3, start_by_ms=3_600_000)
    await orders.submit("keyed-large", LARGE, key="acme")
    await orders.submit("keyed-deferred", 9, cost=2, delay_ms=3_600_000)
    await orders.run("keyed-retried", Failed(error="again", retry_after_ms=3_600_000), key="acme")
    await orders.run("completed-keyed", Succeeded(LARGE_RESULT), key="acme")
    await orders.submit("{odd}: 1\né", 8, task_type="é|type", nonce="n:{1}|,% \n")
    await do(orders.store, "replay", "orders", "replayed", None)
    await do(orders.store, "watch", "orders", ["plain-1", "large"], "w1")
    await do(orders.store, "watch", "orders", ["plain-1"], "w2")


async def write_snoozed(orders: Writer, paused: Writer) -> None:
    later = Snoozed(error="RateLimited: é\n|", after_ms=3_600_000)
    await orders.run("snoozed", later)
    await orders.run("snoozed-keyed", later, key="a,b", cost=3)
    await orders.run("snoozed-large", later, LARGE, priority=3)
    await paused.run("snoozer", attrs.evolve(later, scope="queue"))


async def write_running(running: Writer) -> None:
    await running.submit("lost", 1)
    await running.claim(lease_ms=1)
    await running.advance(2)
    for task_id in ("running", "stopping"):
        await running.submit(task_id, 2)
    await running.submit("running-large", LARGE)
    await running.claim(9, lease_ms=30_000)
    await do(running.store, "cancel", "running", "stopping", None)
    await running.run("released", Released(started=False), 3)
    await running.claim(lease_ms=30_000)
    await running.run("not-started", NotStarted("no room"), 4)


async def write_saved(saved: Writer) -> None:
    """Progress and checkpoints, of a task that runs and of one that waits for its next attempt."""
    for task_id in ("running-saved", "retried-saved"):
        await saved.submit(task_id, 5, key="a,b")
        (task,) = await saved.claim(lease_ms=30_000)
        ref = LeaseRef(task.id, task.lease)
        report = ProgressReport(2, 400_000, "é, 100%=.\n")
        await saved.store.do(ports.Extend(saved.queue, [ref], 30_000, [report]))
        await saved.store.do(ports.SaveCheckpoint(saved.queue, ref, 3, RESULT))
        if task_id == "retried-saved":
            event = Failed(error="again", retry_after_ms=3_600_000)
            settlement = Settlement(task_id=task.id, lease=task.lease, event=event)
            await saved.store.settle(saved.queue, [settlement])


async def write_parked(parked: Writer) -> None:
    await parked.submit("stranger", 1, function="m:<locals>.f|;,% \x1f")
    await parked.submit("stranger-large", LARGE, function="m:g", priority=2)
    await parked.submit("closure", 2, function="@w9/closure")
    await parked.submit("damaged", 2)
    await parked.client.hset("kew:tasks", "damaged", "q garbage")
    await parked.claim()
    await parked.client.hdel("kew:tasks", "damaged")


async def write_breakers(open_one: Writer, half_open: Writer) -> None:
    for each in (open_one, half_open):
        await each.run(f"failure-{each.queue}", Failed(error="no", retry_after_ms=None))
        await each.submit(f"next-{each.queue}")
    await half_open.advance(60_001)
    await half_open.claim()
    await half_open.submit("probed")


async def write_starved(starved: Writer) -> None:
    for n in range(4):
        await starved.submit(f"s{n}", n)
    await starved.claim(2)
    await starved.claim(2, "w2")


async def write_steered(steered: Writer) -> None:
    values: dict[str, Any] = {"max_workers": 1, "max_retries": 0, "rates": ((30, 700, 4),)}
    await steered.store.do(ports.SetOverrides(steered.queue, values, (), "by-hand"))
    pause = ports.Control(steered.queue, ports.Command.PAUSE, "w1", 1, "Eve: näh =~;")
    await steered.store.do(pause)
    await steered.submit("steered", 1)
    await steered.submit("short-lived", 2, start_by_ms=5_000)
    await steered.store.do(attrs.evolve(pause, command=ports.Command.DRAIN, sequence=2))


async def write_unique(unique: Writer) -> None:
    """Each way to hold a unique key, replaced and postponed tasks, and a key that outlasts its task."""
    await unique.submit("held-for-a-time", 1, unique="3600000j:time")
    await unique.again(Succeeded(RESULT))
    await unique.submit("held-until-start", 1, unique="sj:a,b=c% é\n")
    await unique.submit("held-until-end", 1, unique="fr:end", key="acme", cost=2)
    await unique.submit("replaced", 1, unique="fp:replaced")
    await unique.submit("debounced", 1, unique="sp60000:quiet", delay_ms=5_000)
    groups = [
        Group(
            submissions=(
                Submission(
                    id=f"late-{key}",
                    nonce=f"late{key}",
                    task_type="test",
                    function=ECHO,
                    priority=1,
                    payload=msgspec.msgpack.encode([[LARGE], {}]),
                    unique=key,
                    delay_ms=9_000,
                ),
            )
        )
        for key in ("fp:replaced", "sp60000:quiet")
    ]
    await unique.store.submit(unique.queue, groups)


async def write_schedules(scheduled: Writer) -> None:
    """A schedule whose tick has a task, and one by the calendar that is paused with a note."""
    now = int(await scheduled.client.get(CLOCK_KEY))
    due = now + 1000
    call = Submission(
        id="template",
        nonce="template",
        task_type="test",
        function=ECHO,
        priority=1,
        payload=msgspec.msgpack.encode([["é"], {}]),
    )
    rare = Schedule(
        name="rare",
        queue=scheduled.queue,
        call=call,
        every_ms=FOREVER_MS,
        starts_at=due - FOREVER_MS,
    )
    weekly = Schedule(
        name="weekly",
        queue=scheduled.queue,
        call=call,
        cron="0 9 * * mon",
        tz="Europe/Berlin",
        overlap=Overlap.ALLOW,
        jitter_ms=30_000,
        ends_at=now + FOREVER_MS,
    )
    await scheduled.store.do(ports.PutSchedule(rare, "edition-rare"))
    await scheduled.store.do(ports.PutSchedule(weekly, "edition-weekly"))
    await scheduled.advance(due - now)
    pause = ports.SteerSchedule(scheduled.queue, "weekly", ScheduleVerb.PAUSE, "ada: é\n wrong")
    await scheduled.store.do(pause)
    commit = TickCommit(
        name=rare.name,
        edition="edition-rare",
        after=now,
        upto=due,
        overlap=rare.overlap,
        call=call_of(rare, due, tick_nonce("edition-rare", 0)),
    )
    answer = await scheduled.store.do(ports.Tick(scheduled.queue, commit))
    assert answer.word is Word.DONE, answer


async def write_all(url: str) -> dict[str, Any]:
    """One of everything, in some queues, as the keys' types and values."""
    client = raw_client(url)
    await client.set(CLOCK_KEY, START_MS)
    store = RedisStore(address(url), library=Library({"now": CLOCK_FROM_A_KEY}))
    await store.open()
    breaking = attrs.evolve(SETTINGS, breaker_failures=1)
    queues = {
        "orders": SETTINGS,
        "running": SETTINGS,
        "parked": SETTINGS,
        "open": attrs.evolve(breaking, breaker_reset_ms=FOREVER_MS),
        "half-open": breaking,
        "starved": attrs.evolve(SETTINGS, max_workers=2),
        "paused": Settings(),
        "steered": SETTINGS,
        "saved": SETTINGS,
        "unique": SETTINGS,
        "scheduled": SETTINGS,
    }
    made = {}
    for name, settings in queues.items():
        await do(store, "declare", name, settings, f"edition-{name}")
        await do(store, "announce", name, "w1", [ECHO, "shop:send"], FOREVER_MS)
        await do(store, "announce", name, "w2", [ECHO], FOREVER_MS)
        made[name] = Writer(store, client, name)
    await write_ended(made["orders"])
    await write_snoozed(made["orders"], made["paused"])
    await write_waiting(made["orders"])
    await write_running(made["running"])
    await write_saved(made["saved"])
    await write_parked(made["parked"])
    await write_breakers(made["open"], made["half-open"])
    await write_starved(made["starved"])
    await write_steered(made["steered"])
    await write_unique(made["unique"])
    await write_schedules(made["scheduled"])
    await do(store, "control", "paused", ports.Command.PAUSE, "w1", 1)
    await made["paused"].submit("held", 1)
    dump = {"keys": dumped(url), "tasks": await read(client)}
    await store.close()
    await client.aclose()
    return dump


def text(raw: bytes) -> str:
    return raw.decode("latin-1")


def dumped(url: str) -> dict[str, Any]:
    """Type and value of every key; bytes are written as Latin-1."""
    keys: dict[str, Any] = {}
    with contextlib.closing(connect(url)) as plain:
        client: Any = plain
        for key in sorted(client.keys("kew*")):
            kind = text(client.type(key))
            if kind == "hash":
                found = client.hgetall(key)
                value: Any = {text(name): text(found[name]) for name in sorted(found)}
            elif kind == "list":
                value = [text(each) for each in client.lrange(key, 0, -1)]
            elif kind == "set":
                value = sorted(text(each) for each in client.smembers(key))
            elif kind == "zset":
                pairs = client.zrange(key, 0, -1, withscores=True)
                value = [[text(member), int(score)] for member, score in pairs]
            else:
                value = text(client.get(key))
            keys[text(key)] = [kind, value]
    return keys


def restore(url: str, keys: dict[str, Any]) -> None:
    """Write these keys."""
    with contextlib.closing(connect(url)) as plain:
        client: Any = plain
        for name, (kind, value) in keys.items():
            key = name.encode("latin-1")
            if kind == "hash":
                pairs = {f.encode("latin-1"): v.encode("latin-1") for f, v in value.items()}
                client.hset(key, mapping=pairs)
            elif kind == "list":
                client.rpush(key, *(each.encode("latin-1") for each in value))
            elif kind == "set":
                client.sadd(key, *(each.encode("latin-1") for each in value))
            elif kind == "zset":
                client.zadd(key, {member.encode("latin-1"): score for member, score in value})
            else:
                client.set(key, value.encode("latin-1"))


async def read(client: Any) -> dict[str, Any]:
    """What the records say, by id, read from the raw keys."""
    namespace = await read_namespace(client)
    assert not namespace.faults
    snapshots = [queue.snapshot for queue in namespace.queues.values()]
    return {task.id: described(task) for each in snapshots for task in each.tasks.values()}


def described(task: Task) -> dict[str, Any]:
    """All fields as JSON."""
    fields = attrs.asdict(task)
    fields["call"]["payload"] = text(task.call.payload)
    fields["result"] = text(task.result)
    if task.checkpoint is not None:
        fields["checkpoint"]["data"] = text(task.checkpoint.data)
    return {**fields, "status": task.status.value, "watchers": list(task.watchers)}


def main() -> None:
    """Start a Redis of its own, and write the file."""
    server = ProcessRedis(binary=any_binary()).start()
    try:
        dump = asyncio.run(write_all(server.url))
    finally:
        server.stop()
    Path(sys.argv[1]).write_text(json.dumps(dump, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
