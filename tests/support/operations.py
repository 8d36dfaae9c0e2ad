"""Random operations of a store, chosen with an eye on what has happened so far.

Blind operations would nearly all miss: a stale lease has to have been live, a repeat needs a first time. So the chooser
looks at a store's books (the memory store's, which only it may see) and remembers what it asked before.

Where two right stores may differ, the chooser avoids it, so that the comparison need not be loosened:

- Maintenance is given a limit that it never reaches. (Redis counts index entries of ids used again towards it.)
- A process always announces everything that it can run, as real ones do. (The Redis adapter sends only what is new, and
  says everything again where Redis has forgotten the process.)
- Lease ends, delays and lifetimes are drawn so that they often coincide, but a claim recovers at most 100 leases
  and moves at most 100 strangers' tasks aside, so there are fewer tasks than that.
- The clock never lands within the second in which a step back is clamped: see `Twins.move_clock`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import attrs

from kew.adapters.memory.namespace import Namespace
from kew.app.ports import Command
from kew.domain.config import Settings
from kew.domain.events import Failed, Released, Succeeded
from kew.domain.requests import ClaimRequest, Group, LeaseRef, Settlement, SubmitRef
from kew.domain.task import Life, Submission, Task, is_absent, pinned_name

QUEUES = ("a", "b", "c")
NOWHERE = "nowhere"  # never declared
WORKERS = ("w0", "w1", "w2", "w3")
LANES = 2
FUNCTIONS = ("f", "g", "h {odd}%", *(pinned_name(who, "closure") for who in WORKERS[:2]))
IDS = (*(f"t{n}" for n in range(48)), "{t}:1", "t 28\n")
SWEEP_LIMIT = 10_000
REMEMBERED = 30
TTL_MS = 70_000
HOUR_MS = 3_600_000


@attrs.frozen
class Operation:
    """One call of a store, or a move of the clock ("advance", by some ms)."""

    kind: str
    arguments: tuple[Any, ...]

    @property
    def queue(self) -> str:
        """The queue that it names, "" where it names none."""
        first = self.arguments[0] if self.arguments else ""
        return first if isinstance(first, str) else ""

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(map(brief, self.arguments))})"


def brief(value: Any) -> str:
    """A value as a person wants to read it in a list of operations; the seed has the rest."""
    match value:
        case Submission(id=task_id, function=function, priority=priority, due_at=due_at):
            due = f"+{value.delay_ms}" if due_at is None else f"at {due_at}"
            once = " once" if value.at_most_once else ""
            return f"{task_id!r}:{value.nonce} {function!r} p{priority} {due}{once}"
        case Group(submissions=submissions):
            after = f" after {value.after.task_id!r}:{value.after.nonce}" if value.after else ""
            return f"[{'; '.join(map(brief, submissions))}{after}]"
        case ClaimRequest():
            return f"claim {value.lane_key}.{value.sequence} x{value.want} {value.lease_ms}ms"
        case Settlement(task_id=task_id, lease=lease, event=event):
            return f"{task_id!r} {lease} {event}"
        case Task():
            fields = attrs.asdict(value, filter=lambda field, _: field.name != "call")
            told = " ".join(f"{name}={one}" for name, one in fields.items() if one)
            return f"<{brief(value.call)} {told}>"
        case tuple() | list():
            return f"({', '.join(map(brief, value))})"
        case _:
            return str(value)


@attrs.define(eq=False)
class Operations:
    """The source of operations. `namespace` is only read."""

    random: Random
    namespace: Namespace
    now: Callable[[], int]
    requests: deque[tuple[str, ClaimRequest]] = attrs.field(
        factory=lambda: deque(maxlen=REMEMBERED)
    )
    announced: dict[tuple[str, str], tuple[str, ...]] = attrs.field(factory=dict)
    submitted: deque[Group] = attrs.field(factory=lambda: deque(maxlen=REMEMBERED))
    settled: deque[tuple[str, Settlement]] = attrs.field(factory=lambda: deque(maxlen=REMEMBERED))
    granted: deque[tuple[str, LeaseRef]] = attrs.field(factory=lambda: deque(maxlen=2 * REMEMBERED))
    before: deque[Operation] = attrs.field(factory=lambda: deque(maxlen=REMEMBERED))
    nonces: int = 0

    def next(self) -> Operation:
        """Any operation, by weight."""
        (kind,) = self.random.choices(KINDS, weights=WEIGHTS)
        return self.of(kind)

    def of(self, kind: str) -> Operation:
        """An operation of a kind; "repeat" sends an earlier one again."""
        operation: Operation = getattr(self, f"_{kind}")()
        if operation.kind != "advance":
            self.before.append(operation)
        return operation

    def saw(self, queue: str, tasks: Sequence[Task]) -> None:
        """These leases were granted."""
        self.granted.extend((queue, LeaseRef(task.id, task.lease)) for task in tasks)

    # --- choosing

    def _chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def _pick(self, *choices: Any) -> Any:
        return choices[self.random.randrange(len(choices))]

    def _queue(self) -> str:
        if self._chance(4):
            return NOWHERE
        queue = str(self._pick("a", "a", "a", "b", "b", "c"))
        return queue if queue in self.namespace.queues or self._chance(20) else "a"

    def _id(self) -> str:
        return str(self._pick(*IDS))

    def _ids(self, most: int = 4) -> list[str]:
        return [self._id() for _ in range(self.random.randrange(most + 1))]

    def _existing(self, queue: str) -> list[Task]:
        return [task for task in self.namespace.records.values() if task.queue == queue]

    def _unused_id(self) -> str:
        """One of an expired or missing record, mostly."""
        records, now = self.namespace.records, self.now()
        free = [one for one in IDS if one not in records or is_absent(records[one], now)]
        return str(self._pick(*free)) if free and self._chance(85) else self._id()

    def _lease_ms(self) -> int:
        return int(self._pick(300, 2_000, 2_000, 15_000, 60_000))

    # --- what workers and submitters do

    def _submit(self) -> Operation:
        queue = self._queue()
        groups = tuple(self._group() for _ in range(self._pick(1, 1, 1, 2, 3)))
        return Operation("submit", (queue, groups, self._claim_along(queue)))

    def _group(self) -> Group:
        if self.submitted and self._chance(20):
            return self.submitted[self.random.randrange(len(self.submitted))]
        after = None
        if self.submitted and self._chance(30):
            before = self.submitted[-1].submissions[-1]
            after = SubmitRef(before.id, before.nonce)
        calls = tuple(self._call() for _ in range(self._pick(1, 1, 2, 3)))
        group = Group(submissions=calls, after=after)
        self.submitted.append(group)
        return group

    def _call(self) -> Submission:
        self.nonces += 1
        due_at, delay_ms = None, 0
        if self._chance(15):
            delay_ms = self._pick(1, 300, 2_000, 30_000)
        elif self._chance(10):
            due_at = self.now() + self._pick(-5_000, -1, 0, 500, 10_000)
        at_most_once = self._chance(15)
        return Submission(
            id=self._unused_id(),
            nonce=f"n{self.nonces}",
            task_type=self._pick("sell", "é|type"),
            function=self._pick(*FUNCTIONS, "f", "f", "f", "g", "g"),
            payload=self._pick(b"", b"payload", b"\x00\n|\xff" * 5),
            priority=self._pick(1, 2, 2, 3),
            due_at=due_at,
            delay_ms=delay_ms,
            at_most_once=at_most_once,
            max_retries=self._pick(None, None, 0, 3),
            retry_delay_ms=self._pick(None, None, 250),
            timeout_ms=self._pick(None, 9_000),
        )

    def _claim(self) -> Operation:
        queue = self._queue()
        return Operation("claim", (queue, self._request(queue)))

    def _claim_along(self, queue: str) -> ClaimRequest | None:
        return self._request(queue) if self._chance(35) else None

    def _request(self, queue: str) -> ClaimRequest:
        """The next of some lane, mostly; or an earlier one again, or one that no lane can be at."""
        earlier = [request for where, request in self.requests if where == queue]
        if earlier and self._chance(12):
            again: ClaimRequest = self._pick(*earlier[-3:], *earlier)
            return again
        known = self.namespace.queues.get(queue)
        present = known.present(self.now()) if known else []
        workers = [who for who in WORKERS if who in present]
        who = self._pick(*workers) if workers and self._chance(93) else self._pick(*WORKERS)
        lane = self.random.randrange(LANES)
        last = known.book.lane(f"{who}.{lane}") if known else 0
        request = ClaimRequest(
            incarnation=who,
            lane=lane,
            sequence=self._pick(1, last + 7, last + 7)
            if self._chance(4 if last else 40)
            else last + 1,
            want=self._pick(1, 1, 2, 3, 8),
            lease_ms=self._lease_ms(),
            holds=self._pick(0, 0, 1, 2, 5),
        )
        self.requests.append((queue, request))
        return request

    def _settle(self) -> Operation:
        queue = self._queue()
        count = self._pick(0, 1, 1, 1, 2, 3)
        settlements = tuple(
            one for one in (self._settlement(queue) for _ in range(count)) if one is not None
        )
        return Operation("settle", (queue, settlements, self._claim_along(queue)))

    def _settlement(self, queue: str) -> Settlement | None:
        earlier = [one for where, one in self.settled if where == queue]
        if earlier and self._chance(12):
            return earlier[self.random.randrange(len(earlier))]
        ref = self._ref(queue)
        if ref is None:
            return None
        event = self._pick(
            Succeeded(b""),
            Succeeded(b"result \x00\n|"),
            Succeeded(b"r" * 40),
            Failed(error="boom: 'é'\n|", retry_after_ms=None),
            Failed(error="again", retry_after_ms=self._pick(0, 300, 5_000)),
            Failed(error="", retry_after_ms=1),
            Released(self._chance(50)),
        )
        settlement = Settlement(task_id=ref.task_id, lease=ref.lease, event=event)
        self.settled.append((queue, settlement))
        return settlement

    def _ref(self, queue: str) -> LeaseRef | None:
        """A current lease, mostly; else one that was granted some time."""
        leased = [task for task in self._existing(queue) if task.lease]
        leased += [task for task in leased if task.cancel_requested] * 5
        current = [LeaseRef(task.id, task.lease) for task in leased]
        if current and self._chance(85):
            return current[self.random.randrange(len(current))]
        past = [ref for where, ref in self.granted if where == queue or self._chance(2)]
        if past:
            return past[self.random.randrange(len(past))]
        return current[0] if current else None

    def _extend(self) -> Operation:
        queue = self._queue()
        refs = [ref for ref in (self._ref(queue) for _ in range(self._pick(1, 1, 2, 4))) if ref]
        return Operation("extend", (queue, tuple(refs), self._lease_ms()))

    def _announce(self) -> Operation:
        queue, who = self._queue(), self._pick(*WORKERS)
        known = self.announced.get((queue, who), ())
        own = [name for name in FUNCTIONS if not name.startswith("@") or f"@{who}/" in name]
        known = tuple(dict.fromkeys((*known, self._pick(*own))))
        self.announced[queue, who] = known
        return Operation(
            "announce", (queue, who, known, self._pick(1_000, 60_000, HOUR_MS, HOUR_MS))
        )

    def _depart(self) -> Operation:
        return Operation("depart", (self._queue(), self._pick(*WORKERS)))

    # --- what people and maintenance do

    def _cancel(self) -> Operation:
        return Operation("cancel", self._named())

    def _replay(self) -> Operation:
        return Operation("replay", self._named())

    def _named(self) -> tuple[str, str, Life | None]:
        queue, task_id = self._queue(), self._id()
        existing = self._existing(queue)
        leased = [task for task in existing if task.lease]
        if leased and self._chance(30):
            task_id = self._pick(*leased).id
        elif existing and self._chance(85):
            ended = [task for task in existing if task.is_terminal]
            task_id = self._pick(*existing, *ended, *ended).id
        known = self.namespace.records.get(task_id)
        life = known.life if known is not None else Life(1, 0)
        past = Life(life.ticket, max(0, life.replays - 1))
        return queue, task_id, self._pick(None, None, life, life, past, Life(life.ticket - 1, 0))

    def _control(self) -> Operation:
        queue, who = self._queue(), self._pick("person", "w0", "w1")
        known = self.namespace.queues.get(queue)
        sequence = (known.book.lane(f"{who}.control") if known else 0) + 1
        if self._chance(20):
            sequence = max(1, sequence - self._pick(1, 2))
        resume = Command.RESUME
        reset = Command.RESET_BREAKER
        command = self._pick(Command.PAUSE, resume, resume, resume, reset, reset, *Command)
        return Operation("control", (queue, command, who, sequence))

    def _declare(self) -> Operation:
        settings = Settings(
            max_workers=self._pick(1, 3, 6, 20),
            max_size=self._pick(4, 12, 40, 40),
            breaker_failures=self._pick(0, 0, 1, 3, 3),
            breaker_reset_ms=self._pick(500, 5_000),
            breaker_probes=self._pick(1, 1, 2),
            max_deliveries=self._pick(0, 1, 5),
            task_ttl_ms=self._pick(5_000, 20_000),
            dead_letter_ttl_ms=self._pick(8_000, TTL_MS),
        )
        missing = [queue for queue in QUEUES if queue not in self.namespace.queues]
        return Operation("declare", (self._pick(*missing or QUEUES), settings))

    def _sweep(self) -> Operation:
        return Operation("sweep", (self._queue(), SWEEP_LIMIT))

    def _purge(self) -> Operation:
        return Operation("purge", (self._pick("c", "c", "c", "c", NOWHERE, *QUEUES),))

    def _watch(self) -> Operation:
        return Operation("watch", (self._queue(), self._ids(), self._pick(*WORKERS)))

    # --- looking

    def _find(self) -> Operation:
        return Operation("find", (self._ids(),))

    def _running(self) -> Operation:
        return Operation("running", (self._queue(),))

    def _failed(self) -> Operation:
        return Operation("failed", (self._queue(), self._pick(1, 2, 5, 100)))

    def _status(self) -> Operation:
        return Operation("status", (self._queue(),))

    def _settings(self) -> Operation:
        return Operation("settings", (self._queue(),))

    def _queues(self) -> Operation:
        return Operation("queues", ())

    def _peek(self) -> Operation:
        return Operation("peek", (self._queue(),))

    # --- the world

    def _advance(self) -> Operation:
        ms = self._pick(1, 1, 10, 50, 100, 100, 300, 300, 1_000, 2_000)
        if self._chance(6):
            ms = self._pick(5_000, 15_000, 15_000, TTL_MS)
        elif self._chance(3):
            ms = self._pick(2 * TTL_MS, HOUR_MS + 60_000, 2 * HOUR_MS)
        elif self._chance(3):
            ms = -self._pick(1_000, 4_000, 20_000)
        return Operation("advance", (ms,))

    def _repeat(self) -> Operation:
        return self.before[self.random.randrange(len(self.before))] if self.before else self._find()


WEIGHT_OF = {
    "submit": 20,
    "claim": 20,
    "settle": 20,
    "advance": 10,
    "extend": 7,
    "sweep": 8,
    "announce": 5,
    "cancel": 7,
    "replay": 6,
    "repeat": 3,
    "control": 5,
    "declare": 2,
    "watch": 2,
    "find": 1,
    "running": 1,
    "failed": 1,
    "status": 1,
    "peek": 1,
    "settings": 0.6,
    "queues": 0.6,
    "depart": 0.7,
    "purge": 0.6,
}
KINDS = tuple(WEIGHT_OF)
WEIGHTS = tuple(WEIGHT_OF.values())
