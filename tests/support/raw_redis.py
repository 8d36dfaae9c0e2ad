"""The Redis store's whole state as the domain's values, read from raw keys alone: nothing here uses the adapter.

What an adapter writes and then reads back may be wrong twice in the same way. So this reader follows the tables in
docs/redis.md by itself, and looks at every key that there is: a key it doesn't know is a fault, and so is an index that
says something else than the records, or a TTL on anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import msgspec

from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings
from kew.domain.queue import QueueState
from kew.domain.sharing import Hungry
from kew.domain.snapshot import Snapshot
from kew.domain.task import Submission, Task, TaskStatus

IN_LINE = "q"
STATUS = {
    IN_LINE: TaskStatus.QUEUED,
    "w": TaskStatus.QUEUED,
    "r": TaskStatus.RETRY,
    "p": TaskStatus.PROCESSING,
    "c": TaskStatus.COMPLETED,
    "f": TaskStatus.FAILED,
    "x": TaskStatus.CANCELLED,
}
PART_OF_QUEUE = re.compile(
    r"^kew:\{(?P<queue>[^}]+)\}:(?P<part>[a-z]+[0-9]?)(?::(?P<rest>.*))?$", re.DOTALL
)
OF_THE_TEST = re.compile(r"^test:")
TYPES = {
    "state": "hash",
    "line": "list",
    "waiting": "zset",
    "leases": "zset",
    "ended": "zset",
    "parked": "set",
    "shelf": "zset",
    "idle": "zset",
    "hungry": "hash",
    "workers": "zset",
    "functions": "set",
    "lanes": "hash",
}
READ = {
    "hash": lambda pipe, key: pipe.hgetall(key),
    "list": lambda pipe, key: pipe.lrange(key, 0, -1),
    "zset": lambda pipe, key: pipe.zrange(key, 0, -1, withscores=True),
    "set": lambda pipe, key: pipe.smembers(key),
}


@attrs.frozen(kw_only=True)
class RawQueue:
    """One queue: its snapshot, who serves it until when, and what its indexes say wrongly."""

    snapshot: Snapshot
    presence: Mapping[str, int]
    faults: list[str]


@attrs.frozen(kw_only=True)
class RawNamespace:
    """Everything below the namespace's keys."""

    declared: frozenset[str]
    queues: Mapping[str, RawQueue]
    faults: list[str]


@attrs.define
class Parts:
    """One queue's keys, by part; those that have a rest (a shelf, a process) by part and rest."""

    plain: dict[str, Any] = attrs.field(factory=dict)
    named: dict[tuple[str, str], Any] = attrs.field(factory=dict)

    def of(self, part: str, empty: Any) -> Any:
        return self.plain.get(part, empty)

    def each(self, part: str) -> Iterator[tuple[str, Any]]:
        return ((rest, value) for (name, rest), value in self.named.items() if name == part)


async def read_namespace(client: Any) -> RawNamespace:
    """All of namespace "kew" in a database that holds nothing else but the test's own keys."""
    keys = sorted(key.decode() for key in await client.keys("*"))
    keys = [key for key in keys if not OF_THE_TEST.match(key)]
    async with client.pipeline(transaction=False) as pipe:
        for key in keys:
            READ[_type_of(key)](pipe, key)
            pipe.pttl(key)
        replies = await pipe.execute()
    values = dict(zip(keys, replies[::2], strict=True))
    faults = [f"{key} has a TTL" for key, ttl in zip(keys, replies[1::2], strict=True) if ttl != -1]
    return _namespace(values, faults)


def _type_of(key: str) -> str:
    if key in ("kew:tasks", "kew:queues"):
        return {"kew:tasks": "hash", "kew:queues": "set"}[key]
    found = PART_OF_QUEUE.match(key)
    assert found, f"a key that nobody knows: {key!r}"
    part = found["part"].rstrip("123")
    return TYPES["shelf" if part == "parked" and found["rest"] else part]


def _namespace(values: Mapping[str, Any], faults: list[str]) -> RawNamespace:
    declared = frozenset(name.decode() for name in values.get("kew:queues", ()))
    parts: dict[str, Parts] = {}
    for key, value in values.items():
        found = PART_OF_QUEUE.match(key)
        if found:
            of_queue = parts.setdefault(found["queue"], Parts())
            if found["rest"] is None:
                of_queue.plain[found["part"]] = value
            else:
                of_queue.named[found["part"], found["rest"]] = value
    faults += [
        f"queue {name!r} has keys and is not declared" for name in parts if name not in declared
    ]
    raws = {key.decode(): raw for key, raw in values.get("kew:tasks", {}).items()}
    records = {task_id: _Record.read(task_id, raw) for task_id, raw in raws.items()}
    faults += [
        f"{record.task.id}: in the undeclared queue {record.task.queue!r}"
        for record in records.values()
        if record.task.queue not in declared
    ]
    queues = {name: _queue(name, parts.get(name, Parts()), records) for name in sorted(declared)}
    return RawNamespace(declared=declared, queues=queues, faults=faults)


# --- records


@attrs.frozen
class _Record:
    letter: str
    task: Task

    @property
    def member(self) -> bytes:
        """Its entry in the indexes."""
        return f"{self.task.ticket:012d}{self.task.id}".encode()

    @classmethod
    def read(cls, task_id: str, raw: bytes) -> _Record:
        head, _, body = raw.partition(b"\n")
        letter, queue, ticket, queued, offset, history, priority, nonce, function, *sizes = (
            head.decode().split(" ")
        )
        label_bytes, payload_bytes = map(int, sizes)
        label, rest = body[:label_bytes], body[label_bytes:]
        call = Submission(
            id=task_id,
            nonce=_unescaped(nonce),
            function=_unescaped(function),
            payload=rest[:payload_bytes],
            priority=int(priority[0]),
            at_most_once=priority[1:] == "a",
            **_label(label),
        )
        task = Task(
            call=call,
            queue=queue,
            status=STATUS[letter],
            ready_at=int(queued) + int(offset),
            ticket=int(ticket),
            queued_at=int(queued),
        )
        outcome = rest[payload_bytes:]
        told = {"result": outcome} if letter == "c" else {"error": outcome.decode()}
        return cls(letter, task.moved(**told, **_history(history)))


def _label(label: bytes) -> dict[str, Any]:
    task_type, *options = msgspec.msgpack.decode(label)
    names = ("due_at", "delay_ms", "max_retries", "retry_delay_ms", "timeout_ms")
    return {"task_type": task_type, **dict(zip(names, options, strict=bool(options)))}


def _unescaped(field: str) -> str:
    return "" if field == "%" else re.sub("%(..)", lambda found: chr(int(found[1], 16)), field)


def _history(history: str) -> dict[str, Any]:
    if history == "-":
        return {}
    (
        attempt,
        failures,
        losses,
        replays,
        cancel,
        token,
        epoch,
        started,
        lease,
        settled,
        ended,
        expires,
        who,
    ) = history.split(",")
    return {
        "attempt": int(attempt),
        "failures": int(failures),
        "losses": int(losses),
        "replays": int(replays),
        "cancel_requested": {"0": False, "1": True}[cancel],
        "token": int(token),
        "epoch": int(epoch),
        "started_at": int(started),
        "lease": lease.replace("-", "") if lease == "-" else lease,
        "settled": "" if settled == "-" else settled,
        "ended_at": int(ended),
        "expires_at": int(expires),
        "watchers": () if who == "-" else tuple(who.split(";")),
    }


# --- a queue


def _queue(name: str, parts: Parts, records: Mapping[str, _Record]) -> RawQueue:
    state = _fields_of_state(parts.of("state", {}))
    ends = {member: int(score) for member, score in parts.of("leases", [])}
    own = [record for record in records.values() if record.task.queue == name]
    tasks = {
        record.task.id: record.task.moved(lease_until=ends.get(record.member, 0)) for record in own
    }
    snapshot = Snapshot(
        name=name,
        state=_state(state),
        tasks=tasks,
        lanes={
            f"{who}.{lane.decode()}": int(sequence)
            for who, lanes in parts.each("lanes")
            for lane, sequence in lanes.items()
        },
        known={
            who: frozenset(_unescaped(function.decode()) for function in functions)
            for who, functions in parts.each("functions")
        },
        hungry={
            who.decode(): Hungry(*map(int, text.split()))
            for who, text in parts.of("hungry", {}).items()
        },
    )
    return RawQueue(
        snapshot=snapshot,
        presence={who.decode(): int(end) for who, end in parts.of("workers", [])},
        faults=[f"{name}: {fault}" for fault in _index_faults(parts, state, own)],
    )


def _fields_of_state(raw: Mapping[bytes, bytes]) -> Mapping[str, str]:
    state = {key.decode(): value.decode() for key, value in raw.items()}
    names = [
        "version",
        "paused",
        "ticket",
        "token",
        "high",
        "medium",
        "low",
        "parked",
        "wake_at",
        "line_at",
        "clock",
    ]
    return {**state, **dict(zip(names, state.get("counts", "").split(), strict=bool(state)))}


def _state(state: Mapping[str, str]) -> QueueState:
    settings = dict(pair.split("=") for pair in state["settings"].split())
    kind, failures, opened_at, epoch, probes = state["breaker"].split()
    return QueueState(
        settings=Settings(**{name: int(value) for name, value in settings.items()}),
        version=int(state["version"]),
        paused={"0": False, "1": True}[state["paused"]],
        breaker=Breaker(
            state=BreakerState(kind),
            failures=int(failures),
            opened_at=int(opened_at),
            epoch=int(epoch),
            probes=int(probes),
        ),
        ticket=int(state["ticket"]),
        token=int(state["token"]),
    )


def _index_faults(parts: Parts, state: Mapping[str, str], own: list[_Record]) -> Iterator[str]:
    running = {record.member for record in own if record.task.status is TaskStatus.PROCESSING}
    leased = {member for member, _ in parts.of("leases", [])}
    if leased != running:
        yield f"leases {sorted(leased)}, running {sorted(running)}"
    yield from _places_faults(parts, own)
    yield from _counter_faults(parts, state, own)
    ended = dict(parts.of("ended", []))
    for record in own:
        if record.task.is_terminal and ended.get(record.task.id.encode()) != record.task.expires_at:
            yield f"{record.task.id}: not in the index of ends at {record.task.expires_at}"


def _places_faults(parts: Parts, own: list[_Record]) -> Iterator[str]:
    """Every waiting task stands in one place, the right one; sorted sets hold nothing else."""
    expected: dict[tuple[int, bytes], float | None] = {}
    for record in own:
        if record.task.is_waiting:
            at = None if record.letter == IN_LINE else float(record.task.ready_at)
            expected[record.task.call.priority, record.member] = at
    functions = {record.member: record.task.call.function for record in own}
    found: dict[tuple[int, bytes], float | None] = {}
    for priority, member, score, function in _places(parts):
        if score is None and expected.get((priority, member), 0.0) is not None:
            continue  # a line may hold entries of tasks that no longer wait in it
        if (priority, member) in found:
            yield f"{member!r} waits in two places"
        if function is not None and function != functions.get(member):
            yield f"{member!r} is on the shelf of {function!r}"
        found[priority, member] = score
    if found != expected:
        yield f"waiting {sorted(expected.items())}, indexed {sorted(found.items())}"


def _places(parts: Parts) -> Iterator[tuple[int, bytes, float | None, str | None]]:
    """Priority, member, score and function of every entry; no score: in a line; no function: of any."""
    for priority in (1, 2, 3):
        for member in parts.of(f"line{priority}", []):
            yield priority, member, None, None
        for member, score in parts.of(f"waiting{priority}", []):
            yield priority, member, score, None
    for rest, members in parts.each("parked"):
        priority_text, _, function = rest.partition(":")
        for member, score in members:
            yield int(priority_text), member, score, _unescaped(function)


def _counter_faults(parts: Parts, state: Mapping[str, str], own: list[_Record]) -> Iterator[str]:
    shelved = sum(len(members) for _, members in parts.each("parked"))
    if int(state["parked"]) != shelved:
        yield f"{state['parked']} parked counted, {shelved} on shelves"
    shelves = {rest.partition(":")[2] for rest, _ in parts.each("parked")}
    listed = {name.decode() for name in parts.of("parked", set())}
    if not shelves <= listed:
        yield f"shelves that are not listed: {shelves - listed}"
    if state:
        waits = [
            sum(r.task.is_waiting and r.task.call.priority == priority for r in own)
            for priority in (1, 2, 3)
        ]
        counted = [int(state[name]) for name in ("high", "medium", "low")]
        if counted != waits:
            yield f"waiting counted as {counted}, waiting are {waits}"
