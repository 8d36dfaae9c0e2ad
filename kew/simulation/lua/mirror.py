"""What a Redis holds, as the values that oracles look at: reread from its keys after every operation.

A record or a queue's state is a new object only if its keys say something new. The counts of a queue are the store's
own, so that a witness who counts for himself finds out when they are wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Final

import attrs

from kew.adapters.memory.history import MemoryHistory
from kew.adapters.memory.indexed_queue import IndexedQueue
from kew.adapters.memory.namespace import MemoryQueue, Namespace
from kew.adapters.redis import records
from kew.adapters.redis.counts import Counts, read_counts, read_memories
from kew.adapters.redis.extras import from_value
from kew.adapters.redis.history import read_open, read_tally
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.settings import (
    read_declared,
    read_holds,
    read_own_limits,
    read_settings,
    read_signatures,
    read_transitions,
)
from kew.compat import override
from kew.domain.breaker import Breaker, BreakerState
from kew.domain.history import COUNTED, NOTHING, Tally
from kew.domain.key_limits import OwnLimits
from kew.domain.sharing import Starved
from kew.domain.task import Task
from kew.domain.view import QueueState
from kew.simulation.lua.redis import RedisInProcess

PART: Final = re.compile(r"[^:]+:\{(?P<queue>[^}]+)\}:(?P<part>\w+)(?::(?P<who>.*))?$", re.DOTALL)


class MirrorHistory(MemoryHistory):
    """What happened in a queue, as its keys say it."""

    open_text = b""

    @override
    def open_tally(self, state: QueueState, waiting: int) -> Tally:
        return read_open(self.open_text, state.ticket, state.token) if self.open_text else NOTHING

    @override
    def open_counts(self, state: QueueState) -> dict[str, int]:
        tally = self.open_tally(state, 0)
        return {name: getattr(tally, name) for name in COUNTED}

    def take(self, fields: Mapping[bytes, bytes]) -> None:
        """These are the minutes and hours that are closed."""
        self.trimmed = int(fields.get(b"trimmed", b"-1"))
        self.hours = {int(n[1:]): read_tally(text) for n, text in fields.items() if n[:1] == b"h"}


class MirrorBook(IndexedQueue):
    """A queue's state, lanes and functions. The tasks are in the namespace's records, in no index."""

    counts_keys = False

    def __init__(self, name: str, state: QueueState, records: MutableMapping[str, Task]) -> None:
        super().__init__(name, state, records)
        self.ends: dict[bytes, int] = {}
        self.known: dict[str, set[str]] = {}
        self.sequences: dict[str, dict[str, int]] = {}
        self.counted_waiting = 0
        self.parked = 0
        self.clock = 0  # when it was last written
        self.past = self.history = MirrorHistory()

    @override
    def waiting(self) -> int:
        return self.counted_waiting

    @override
    def held(self) -> int:
        return len(self.ends)

    def take(self, state: QueueState) -> None:
        """This is its state now; what has not changed in it stays the same object."""
        if state == self._state:
            return
        if state.breaker == self._state.breaker:
            state = attrs.evolve(state, breaker=self._state.breaker)
        self._state = state

    def share(self, starved: Mapping[str, Starved]) -> None:
        """Set the processes that are starved now."""
        self._starved = dict(starved)

    def pace(self, logs: Mapping[str, tuple[int, ...]]) -> None:
        """Set what the rates of keys remember now."""
        self._keyed.logs.by_key = dict(logs)

    def limit_keys(self, limits: Mapping[str, OwnLimits]) -> None:
        """Set the limits that keys have of their own now."""
        self.own_limits.clear()
        self.own_limits.update(limits)


class Mirror:
    """Keeps a namespace equal to what a Redis holds."""

    def __init__(self, redis: RedisInProcess, namespace: Namespace, keys: Keys) -> None:
        self._redis = redis
        self._namespace = namespace
        self._keys = keys
        self._raws: dict[str, tuple[bytes, int]] = {}

    def refresh(self) -> None:
        """Read what was written since the last time."""
        changed = {key.decode() for key in self._redis.changed()}
        if self._keys.key("queues") in changed:
            self._refresh_queues()
        parts = [found for found in map(PART.match, sorted(changed)) if found]
        for found in parts:
            known = self._namespace.queues.get(found["queue"])
            if known is not None:
                self._refresh_part(known, found["part"], found["who"] or "")
        if self._keys.key("tasks") in changed or any(one["part"] == "leases" for one in parts):
            self._refresh_records()

    def start_again(self) -> None:
        """All of it is something else now."""
        self._namespace.queues.clear()
        self._namespace.records.clear()
        self._raws = {}
        self.refresh()

    # --- queues

    def _refresh_queues(self) -> None:
        queues = self._namespace.queues
        declared = {name.decode() for name in self._command("SMEMBERS", "queues")}
        for gone in queues.keys() - declared:
            del queues[gone]
        for name in sorted(declared - queues.keys()):
            state, *_ = self._state(name)
            queues[name] = MemoryQueue(MirrorBook(name, state, self._namespace.records))
            for part in ("state", "leases", "workers", "history"):
                self._refresh_part(queues[name], part, "")

    def _refresh_part(self, queue: MemoryQueue, part: str, who: str) -> None:
        indexed = indexed_of(queue)
        match part:
            case "state":
                self._refresh_state(indexed)
            case "history":
                base = self._keys.key("state", indexed.name).removesuffix("state")
                indexed.past.take(dict(_pairs(self._redis.command("HGETALL", f"{base}history"))))
            case "leases":
                indexed.ends = dict(self._scores("leases", indexed.name))
            case "keyed" if who in ("logs", "limits"):
                self._refresh_keyed(indexed, who)
            case "workers":
                presence = self._scores("workers", indexed.name)
                queue.presence = {member.decode(): end for member, end in presence}
            case "functions":
                names = self._command("SMEMBERS", part, indexed.name, who)
                indexed.known[who] = {records.from_field(name.decode()) for name in names}
            case "hungry":
                found = _pairs(self._command("HGETALL", "hungry", indexed.name))
                starved = {who.decode(): Starved(*map(int, text.split())) for who, text in found}
                indexed.share(starved)
            case "lanes":
                lanes = _pairs(self._command("HGETALL", part, indexed.name, who))
                indexed.sequences[who] = {
                    lane.decode(): int(text.split()[0]) for lane, text in lanes if lane != b"slots"
                }
        indexed.functions = {who: indexed.known.get(who, set()) for who in queue.presence}
        indexed.lanes = {
            f"{who}.{lane}": last
            for who, lanes in indexed.sequences.items()
            for lane, last in lanes.items()
        }

    def _refresh_state(self, indexed: MirrorBook) -> None:
        state, indexed.counted_waiting, indexed.parked, indexed.clock = self._state(indexed.name)
        indexed.take(state)
        base = self._keys.key("state", indexed.name)
        indexed.past.open_text = self._redis.command("HGET", base, "history") or b""

    def _refresh_keyed(self, indexed: MirrorBook, what: str) -> None:
        """What the queue remembers of its keys: what their rates have taken, and their own limits."""
        base = self._keys.key("state", indexed.name).removesuffix("state")
        fields = _pairs(self._redis.command("HGETALL", f"{base}keyed:{what}"))
        if what == "logs":
            indexed.pace(
                {from_value(key.decode()): tuple(map(int, text.split())) for key, text in fields}
            )
        else:
            indexed.limit_keys(
                {from_value(key.decode()): read_own_limits(text) for key, text in fields}
            )

    def _command(self, command: str, part: str, queue: str = "", who: str = "") -> Any:
        key = self._keys.key(part, queue)
        return self._redis.command(command, f"{key}:{who}" if who else key)

    def _scores(self, part: str, queue: str) -> Iterator[tuple[bytes, int]]:
        key = self._keys.key(part, queue)
        flat = self._redis.command("ZRANGE", key, 0, -1, "WITHSCORES")
        return ((member, int(score)) for member, score in _pairs(flat))

    def _state(self, queue: str) -> tuple[QueueState, int, int, int]:
        """And how many tasks wait and how many are parked, as the queue counts them, and its clock."""
        key = self._keys.key("state", queue)
        flat = self._redis.command("HGETALL", key)
        fields = dict(_pairs(flat))
        counts = read_counts(fields[b"counts"])
        state = read_state(fields[b"settings"], fields[b"breaker"], counts)
        signed = read_signatures(fields[b"settings"].decode(), flat)
        gates, holds = read_memories(flat), read_holds(flat)
        log = read_transitions(flat)
        state = attrs.evolve(state, gates=gates, holds=holds, signed=signed, breaker_log=log)
        return state, counts.all_waiting, counts.parked, counts.clock

    # --- records

    def _refresh_records(self) -> None:
        tasks, seen = self._namespace.records, {}
        for field, raw in _pairs(self._command("HGETALL", "tasks")):
            task_id = field.decode()
            end = self._lease_end(task_id, raw) if records.is_running(raw) else 0
            seen[task_id] = raw, end
            if self._raws.get(task_id) != seen[task_id]:
                tasks[task_id] = self._with_data(records.read(task_id, raw, end))
        for gone in self._raws.keys() - seen.keys():
            del tasks[gone]
        self._raws = seen

    def _with_data(self, task: Task) -> Task:
        """With the bytes of its checkpoint, which are in a key of their own."""
        if task.checkpoint is None:
            return task
        base = self._keys.key("state", task.queue).removesuffix("state")
        data = self._redis.command("GET", f"{base}checkpoint:{task.ticket:012}{task.id}")
        return task.moved(checkpoint=attrs.evolve(task.checkpoint, data=data or b""))

    def _lease_end(self, task_id: str, raw: bytes) -> int:
        queue = self._namespace.queues.get(records.queue_of(raw))
        ticket = raw.split(b" ", 3)[2]
        return indexed_of(queue).ends.get(ticket.zfill(12) + task_id.encode(), 0) if queue else 0


def indexed_of(queue: MemoryQueue) -> MirrorBook:
    """The queue with its indexes."""
    assert isinstance(queue.indexed, MirrorBook)
    return queue.indexed


def _pairs(flat: Any) -> Iterator[tuple[bytes, bytes]]:
    """(field, value) or (member, score), of a reply that lists them one after the other."""
    parts = iter(flat)
    return zip(parts, parts, strict=True)


def read_state(settings: bytes, breaker: bytes, counts: Counts) -> QueueState:
    """A queue's state from its fields."""
    kind, failures, opened_at, epoch, probes = breaker.decode().split()
    return QueueState(
        settings=read_settings(settings.decode()),
        declared=read_declared(settings.decode()),
        version=counts.version,
        edition=counts.edition,
        paused=counts.paused,
        breaker=Breaker(
            state=BreakerState(kind),
            failures=int(failures),
            opened_at=int(opened_at),
            epoch=int(epoch),
            probes=int(probes),
        ),
        ticket=counts.ticket,
        token=counts.token,
        longest_lease_ms=counts.longest_lease_ms,
    )
