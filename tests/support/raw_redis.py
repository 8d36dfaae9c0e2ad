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

from kew.domain.breaker import Breaker, BreakerState, Cause, Transition
from kew.domain.config import Settings
from kew.domain.holding import Hold, Signature
from kew.domain.sharing import Starved
from kew.domain.snapshot import Snapshot
from kew.domain.task import Checkpoint, Progress, Submission, Task, TaskStatus, unstarted_until
from kew.domain.view import QueueState
from tests.support.raw_keys import RawKeys

IN_LINE = "q"
MOST_ATTEMPTS = 10
UNFAILED = (TaskStatus.COMPLETED, TaskStatus.CANCELLED)
STATUS = {
    IN_LINE: TaskStatus.QUEUED,
    "w": TaskStatus.QUEUED,
    "r": TaskStatus.RETRY,
    "p": TaskStatus.PROCESSING,
    "c": TaskStatus.COMPLETED,
    "f": TaskStatus.FAILED,
    "x": TaskStatus.CANCELLED,
}
OF_NAMESPACE = {
    "kew:tasks": "hash",
    "kew:contents": "hash",
    "kew:queues": "set",
    "kew:processes": "hash",
    "kew:schedules": "hash",
}
PART_OF_QUEUE = re.compile(
    r"^kew:\{(?P<queue>[^}]+)\}:(?P<part>[a-z]+[0-9]?)(?::(?P<rest>.*))?$", re.DOTALL
)
OF_VERSIONS = {b"?3"}  # announced with the functions
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
    "unreadable": "zset",
    "workers": "zset",
    "functions": "set",
    "lanes": "hash",
    "dead": "zset",
    "expiring": "zset",
    "groups": "zset",
    "history": "hash",
    "unique": "hash",
    "attempts": "list",
    "checkpoint": "text",
}
TYPES_OF_KEYS = {
    "turns": "hash",
    "holders": "hash",
    "held": "zset",
    "ring": "zset",
    "later": "zset",
    "paced": "zset",
    "first": "zset",
    "logs": "hash",
    "logged": "zset",
    "limits": "hash",
    "ends": "zset",
    "line": "zset",
}
READ = {
    "text": lambda pipe, key: pipe.get(key),
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
    reports: Mapping[str, str]
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
    if key in OF_NAMESPACE:
        return OF_NAMESPACE[key]
    found = PART_OF_QUEUE.match(key)
    assert found, f"a key that nobody knows: {key!r}"
    part = found["part"].rstrip("123")
    if part == "keyed":
        return TYPES_OF_KEYS[found["rest"].partition(":")[0].rstrip("123")]
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
    contents = {key.decode(): text for key, text in values.get("kew:contents", {}).items()}
    faults += [f"a content without a record: {task_id}" for task_id in contents.keys() - raws]
    records = {
        task_id: _Record.read(task_id, raw, contents.get(task_id)) for task_id, raw in raws.items()
    }
    faults += [
        f"{record.task.id}: in the undeclared queue {record.task.queue!r}"
        for record in records.values()
        if record.task.queue not in declared
    ]
    queues = {name: _queue(name, parts.get(name, Parts()), records) for name in sorted(declared)}
    reports = {who.decode(): text.decode() for who, text in values.get("kew:processes", {}).items()}
    return RawNamespace(declared=declared, reports=reports, queues=queues, faults=faults)


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
    def read(cls, task_id: str, raw: bytes, content: bytes | None) -> _Record:
        head, _, body = raw.partition(b"\n")
        more = ""
        if head.startswith(b"3"):
            head, size, text = head[1:].rsplit(b" ", 2)
            more = text.decode()
            assert (size == b"-") == (content is None), f"beside the record of {task_id}: {size!r}"
            if content is not None:
                assert len(content) == int(size), f"{task_id}: {len(content)} bytes, not {size!r}"
        elif head.startswith(b"2"):
            head, _, size = head[1:].rpartition(b" ")
            assert content is not None, f"nothing beside the record of {task_id}"
            assert len(content) == int(size), f"{task_id}: {len(content)} bytes, not {size!r}"
        else:
            assert content is None, f"something beside the record of {task_id}"
        letter, queue, ticket, queued, offset, history, priority, nonce, function, *sizes = (
            head.decode().split(" ")
        )
        label_bytes, payload_bytes = map(int, sizes)
        label, rest = body[:label_bytes], body[label_bytes:]
        call = Submission(
            id=task_id,
            nonce=_unescaped(nonce),
            function=_unescaped(function),
            payload=rest[:payload_bytes] if content is None or letter == "c" else content,
            priority=int(priority[0]),
            at_most_once=priority[1:] == "a",
            **_label(label),
        )
        call, happened = _with_extras(call, more)
        task = Task(
            call=call,
            queue=queue,
            status=STATUS[letter],
            ready_at=int(queued) + int(offset),
            ticket=int(ticket),
            queued_at=int(queued),
            **happened,
        )
        outcome = rest[payload_bytes:]
        if content is not None and letter == "c":
            outcome = content
        told = {"result": outcome} if letter == "c" else {"error": outcome.decode()}
        return cls(letter, task.moved(**told, **_history(history)))


def _label(label: bytes) -> dict[str, Any]:
    task_type, *options = msgspec.msgpack.decode(label)
    names = ("due_at", "delay_ms", "max_retries", "retry_delay_ms", "timeout_ms")
    return {"task_type": task_type, **dict(zip(names, options, strict=bool(options)))}


ORDER = ["key", "cost", "start_by", "trace", "unique", "snoozes", "progress", "checkpoint"]


def _with_extras(call: Submission, text: str) -> tuple[Submission, dict[str, Any]]:
    values = dict(pair.split("=") for pair in text.split(",")) if text else {}
    names = list(values)
    assert names == sorted(names, key=ORDER.index), text
    assert not {"key": "", "cost": "1", "start_by": "0", "snoozes": "0"}.items() & values.items()
    snoozes = int(values.pop("snoozes", "0"))
    call = attrs.evolve(
        call,
        key=_unescaped(values.pop("key", "")),
        cost=int(values.pop("cost", "1")),
        start_by_ms=int(values.pop("start_by", "0")),
        trace=_unescaped(values.pop("trace", "")),
        unique=_unescaped(values.pop("unique", "")),
    )
    progress = None
    if "progress" in values:
        *numbers, message = values.pop("progress").split(".", 4)
        attempt, number, parts, at = map(int, numbers)
        progress = Progress(
            attempt=attempt, number=number, parts=parts, at=at, message=_unescaped(message)
        )
    checkpoint = None
    if "checkpoint" in values:
        attempt, number, size = map(int, values.pop("checkpoint").split("."))
        checkpoint = Checkpoint(attempt=attempt, number=number, size=size)
    return call, {"snoozes": snoozes, "progress": progress, "checkpoint": checkpoint}


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


def _with_checkpoint(record: _Record, saved: Mapping[bytes, bytes]) -> Task:
    checkpoint = record.task.checkpoint
    if checkpoint is None:
        return record.task
    data = saved[record.member]
    assert len(data) == checkpoint.size
    return record.task.moved(checkpoint=attrs.evolve(checkpoint, data=data))


def _queue(name: str, parts: Parts, records: Mapping[str, _Record]) -> RawQueue:
    state = _fields_of_state(parts.of("state", {}))
    ends = {member: int(score) for member, score in parts.of("leases", [])}
    own = [record for record in records.values() if record.task.queue == name]
    saved = {member.encode(): data for member, data in parts.each("checkpoint")}
    tasks = {
        record.task.id: _with_checkpoint(record, saved).moved(
            lease_until=ends.get(record.member, 0)
        )
        for record in own
    }
    replaced = {entry for entry, _ in parts.of("dead", [])} - {one.member for one in own}
    """Dead letters whose ids are tasks of other queues by now: what they have goes with the next sweep."""
    unused = sorted(saved.keys() - {one.member for one in own if one.task.checkpoint} - replaced)
    assert not unused, f"checkpoints of tasks that have none: {unused}"
    keys = RawKeys.read(dict(parts.each("keyed")), state.get("counts", ""))
    snapshot = Snapshot(
        name=name,
        state=_state(state),
        tasks=tasks,
        lanes={
            f"{who}.{lane.decode()}": int(text.split()[0])
            for who, lanes in parts.each("lanes")
            for lane, text in lanes.items()
            if lane != b"slots"
        },
        known={
            who: frozenset(_unescaped(function.decode()) for function in functions - OF_VERSIONS)
            for who, functions in parts.each("functions")
        },
        starved={
            who.decode(): Starved(*map(int, text.split()))
            for who, text in parts.of("hungry", {}).items()
        },
        turns=keys.turns(),
        key_logs=keys.logs(),
        key_limits=keys.limits(),
    )
    return RawQueue(
        snapshot=snapshot,
        presence={who.decode(): int(end) for who, end in parts.of("workers", [])},
        faults=[
            f"{name}: {fault}"
            for fault in (
                *_index_faults(parts, state, own, keys),
                *keys.faults(
                    list(tasks.values()),
                    snapshot.state.settings,
                    int(state["clock"]),
                ),
            )
        ],
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
        "longest",
        "clock",
    ]
    counts = state.get("counts", "").split()
    beside = dict(pair.split("=") for pair in counts[len(names) :])
    names_beside = {"snoozed", "starts_by", "keys", "key_snoozes", "unique", "reopened"}
    assert beside.keys() <= names_beside, f"behind the counts: {beside}"
    memory = {
        f"gate:{name}": text.replace(",", " ") for name, text in beside.items() if name == "snoozed"
    }
    return {**state, **memory, **dict(zip(names, counts[: len(names)], strict=bool(state)))}


def _signatures(state: Mapping[str, str], entries: list[str]) -> dict[str, Signature]:
    """Who set the overrides that are in force."""
    values = dict(each.split("~")[:2] for each in entries if each)
    signed = {}
    for field, text in state.items():
        if field.startswith("set:"):
            at, value, by = text.split(" ", 2)
            if values.get(field.removeprefix("set:")) == value:
                signed[field.removeprefix("set:")] = Signature(int(at), by)
    return signed


def _transition(text: str) -> Transition:
    """What the breaker did; the id's length is in bytes."""
    epoch, at, state, cause, size, rest = text.split(" ", 5)
    task_id = rest.encode()[: int(size)].decode()
    return Transition(
        epoch=int(epoch),
        at=int(at),
        state=BreakerState(state),
        cause=Cause(cause),
        task_id=task_id,
        why=rest.removeprefix(task_id),
    )


def _state(state: Mapping[str, str]) -> QueueState:
    settings = dict(pair.split("=") for pair in state["settings"].split())
    kind, failures, opened_at, epoch, probes = state["breaker"].split()
    version, _, edition = state["version"].partition(":")
    entries = settings.pop("overrides", "").split(";")
    replaced = {name: was for name, _, was in (each.split("~") for each in entries if each)}
    return QueueState(
        settings=Settings(
            **{name: _setting(value) for name, value in settings.items() if name != "format"}
        ),
        declared={
            name: getattr(Settings(), name) if was == "-" else _setting(was)
            for name, was in replaced.items()
            if name != "format"
        },
        holds={
            field.removeprefix("hold:"): Hold(
                int(text.split(" ")[0]), *text.partition(" ")[2].split("\t")
            )
            for field, text in state.items()
            if field.startswith("hold:")
        },
        signed=_signatures(state, entries),
        breaker_log={
            int(field.removeprefix("breaker:")): _transition(text)
            for field, text in state.items()
            if field.startswith("breaker:")
        },
        version=int(version),
        edition=edition,
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
        longest_lease_ms=int(state["longest"]),
        gates={
            field.removeprefix("gate:"): tuple(map(int, text.split()))
            for field, text in state.items()
            if field.startswith("gate:")
        },
    )


def _setting(value: str) -> Any:
    if ":" not in value:
        return int(value)
    return tuple(tuple(map(int, each.split(":"))) for each in value.split(","))


def _index_faults(
    parts: Parts, state: Mapping[str, str], own: list[_Record], keys: RawKeys
) -> Iterator[str]:
    running = {record.member for record in own if record.task.status is TaskStatus.PROCESSING}
    leased = {member for member, _ in parts.of("leases", [])}
    if leased != running:
        yield f"leases {sorted(leased)}, running {sorted(running)}"
    yield from _places_faults(parts, own, keys)
    yield from _counter_faults(parts, state, own, keys)
    yield from _dead_faults(parts, own)
    ended, expiring = dict(parts.of("ended", [])), dict(parts.of("expiring", []))
    for record in own:
        until = unstarted_until(record.task)
        if until is not None and expiring.get(record.member) != until:
            yield f"{record.task.id}: not in the index of those that expire at {until}"
        if record.task.is_terminal and ended.get(record.task.id.encode()) != record.task.expires_at:
            yield f"{record.task.id}: not in the index of ends at {record.task.expires_at}"


def _dead_faults(parts: Parts, own: list[_Record]) -> Iterator[str]:
    """Each dead letter is in two indexes, by the end of its record. Other entries are of ids used in other queues."""
    expected = {
        record.member: record.task.expires_at
        for record in own
        if record.task.status is TaskStatus.FAILED
    }
    found = dict(parts.of("dead", []))
    tasks = {record.member: record.task for record in own}
    own_found = {member: score for member, score in found.items() if member in tasks}
    if own_found != expected:
        yield f"dead letters {sorted(expected.items())}, indexed {sorted(own_found.items())}"
    by_group = [(member, score) for _, members in parts.each("dead") for member, score in members]
    if sorted(by_group) != sorted(found.items()):
        yield f"dead letters {sorted(found.items())}, in groups {sorted(by_group)}"
    groups = {group for group, _ in parts.each("dead")}
    listed = {name.decode() for name, _ in parts.of("groups", [])}
    if groups != listed:
        yield f"groups {sorted(groups)}, listed {sorted(listed)}"
    attempts = {member.encode(): texts for member, texts in parts.each("attempts")}
    for member, texts in attempts.items():
        task = tasks.get(member)
        is_needed = member in found if task is None else task.status not in UNFAILED
        if not is_needed:
            yield f"{member!r}: attempts of a task that needs none"
        if len(texts) > MOST_ATTEMPTS:
            yield f"{member!r}: {len(texts)} attempts"
    for group, members in parts.each("dead"):
        for member, _ in members:
            texts = attempts.get(member, [])
            if not texts or texts[-1].split(b" ")[5].decode() != group:
                yield f"{member!r}: in the group {group}, but its attempts say {texts[-1:]}"


def _places_faults(parts: Parts, own: list[_Record], keys: RawKeys) -> Iterator[str]:
    """Every waiting task stands in one place, the right one; sorted sets hold nothing else."""
    expected: dict[tuple[int, bytes], float | None] = {}
    for record in own:
        if record.task.is_waiting:
            at = None if record.letter == IN_LINE else float(record.task.ready_at)
            expected[record.task.call.priority, record.member] = at
    shelves = {record.member: _shelf_of(record.task.call.function) for record in own}
    found: dict[tuple[int, bytes], float | None] = {}
    of_keys = ((priority, member, score, None) for priority, member, score in keys.places())
    for priority, member, score, function in (*_places(parts), *of_keys):
        if score is None and expected.get((priority, member), 0.0) is not None:
            continue  # a line may hold entries of tasks that no longer wait in it
        if (priority, member) in found:
            yield f"{member!r} waits in two places"
        if function is not None and function != shelves.get(member):
            yield f"{member!r} is on the shelf of {function!r}"
        found[priority, member] = score
    if found != expected:
        yield f"waiting {sorted(expected.items())}, indexed {sorted(found.items())}"


def _shelf_of(function: str) -> str:
    return function.partition("/")[0] if function.startswith("@") else function


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


def _counter_faults(
    parts: Parts, state: Mapping[str, str], own: list[_Record], keys: RawKeys
) -> Iterator[str]:
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
        plain = [int(state[name]) for name in ("high", "medium", "low")]
        counted = [one + other for one, other in zip(plain, keys.waiting, strict=True)]
        if counted != waits:
            yield f"waiting counted as {counted}, waiting are {waits}"
