"""Random operations of a store, of every kind that there is, chosen with an eye on what has happened so far.

Blind operations would nearly all miss: a stale lease has to have been live, a repeat needs a first time. So the chooser
looks into a store (the memory store, which only it may) and remembers what it asked before.

Where two right stores may differ, the chooser avoids it, so that the comparison need not be loosened:

- Maintenance is given a limit that it never reaches. (Redis counts index entries of ids used again towards it.)
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
from kew.app.ports import (
    EXAMINED_PARTS,
    OPERATIONS,
    Announce,
    Cancel,
    CancelAll,
    Claim,
    Command,
    Control,
    Declare,
    Depart,
    Discard,
    Empty,
    Examine,
    Explain,
    Extend,
    Find,
    Forget,
    Hasten,
    History,
    LimitKey,
    ListFailed,
    ListGroups,
    ListKeyLimits,
    ListSchedules,
    ListUnreadable,
    ListWaiting,
    Operation,
    Pasts,
    Peek,
    Processes,
    Purge,
    PutSchedule,
    Queues,
    ReadAttempts,
    ReadPayload,
    ReadSettings,
    Replay,
    ReplayAll,
    Running,
    SaveCheckpoint,
    SetOverrides,
    Settle,
    Status,
    Statuses,
    SteerSchedule,
    Submit,
    Sweep,
    Tick,
    Watch,
)
from kew.domain.config import Settings
from kew.domain.errors import SCOPES
from kew.domain.events import Failed, NotStarted, Released, Snoozed, Succeeded
from kew.domain.explaining import SlotLimit
from kew.domain.key_limits import OwnLimits
from kew.domain.keys import latest_key
from kew.domain.listing import WaitingFilter, WaitingState
from kew.domain.progress import ProgressReport
from kew.domain.reports import Report
from kew.domain.requests import (
    Along,
    ClaimRequest,
    Group,
    LeaseRef,
    LifeRef,
    Settlement,
    SubmitRef,
)
from kew.domain.schedule import (
    Missed,
    Overlap,
    Schedule,
    ScheduleVerb,
    TickCommit,
    call_of,
    tick_nonce,
)
from kew.domain.task import TERMINAL, Life, Submission, Task, TaskStatus, is_absent, pinned_name
from kew.domain.unique import LATEST, unique_key
from kew.simulation.features import settings_to_draw
from kew.simulation.features.rates import RATES

QUEUES = ("a", "b", "c")
NOWHERE = "nowhere"  # never declared
WORKERS = ("w0", "w1", "w2", "w3")
LANES = 2
FUNCTIONS = ("f", "g", "h {odd}%", *(pinned_name(who, "closure") for who in WORKERS[:2]))
IDS = (*(f"t{n}" for n in range(48)), "{t}:1", "t 28\n")
SWEEP_LIMIT = 10_000
REMEMBERED = 30
LARGE = bytes(range(256)) * 5  # too large for a record
TTL_MS = 70_000
KEY_RATES = (((2, 700, 0),), ((5, 700, 1),), ((3, 500, 0), (9, 5_000, 6)))
COSTS = {
    "": 2,
    "acme": 1,
    "b": 2,
}  # of tasks with this key: one alone, since what is parked holds up no others of its key
UNIQUE = (
    *("", "", "", "", "", ""),
    *("fj:one", "fj:é 100%,a=b\n", "fr:one", "fp:one"),
    *("sj:two", "sp:two", "sr:two", "sp3000:three", "sp20000:three"),
    *("lp:six", "lp:six", "lp:é 100%,a=b\n"),
    *("700j:four", "5000j:four", "60000j:five", "5000p:four"),
)
HOUR_MS = 3_600_000
EVERY_STATE = tuple(WaitingState)
SCHEDULES = ("hourly", "näh:x/%", "c")
GROUPS = ("KeyError@shop:sell", "KeyError@shop:buy", "Fähler@näh:Ware.senden")
REPORTS = (
    *(Report(group=group, kind="KeyError", message="'a'", traceback="in g") for group in GROUPS),
    Report(group=GROUPS[0], kind="KeyError", message="", traceback="in \n f\x00"),
    Report(group="", kind="", message="", traceback=""),
)


PLAIN_CALL = Submission(
    id="template", nonce="", task_type="sell", function="f", payload=b"", priority=2
)


@attrs.frozen
class Advance:
    """A move of the clock by some ms."""

    ms: int


Step = Operation[Any] | Advance


def shown(step: Step) -> str:
    """A step as a person wants to read it in a list of them; the seed has the rest."""
    fields = map(brief, attrs.astuple(step, recurse=False))
    return f"{kind_of(step)}({', '.join(fields)})"


def kind_of(step: Step) -> str:
    """The operation's name, or "advance"."""
    return "advance" if isinstance(step, Advance) else step.name


def brief(value: Any) -> str:
    """A value as a person wants to read it."""
    match value:
        case Submission(id=task_id, function=function, priority=priority, due_at=due_at):
            due = f"+{value.delay_ms}" if due_at is None else f"at {due_at}"
            once = " once" if value.at_most_once else ""
            key = f" key={value.key!r}" if value.key else ""
            return f"{task_id!r}:{value.nonce} {function!r} p{priority}{key} {due}{once}"
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
    before: deque[Operation[Any]] = attrs.field(factory=lambda: deque(maxlen=REMEMBERED))
    nonces: int = 0
    editions: int = 0

    def next(self) -> Step:
        """Any step, by weight."""
        (kind,) = self.random.choices(KINDS, weights=WEIGHTS)
        return self.of(kind)

    def of(self, kind: str) -> Step:
        """A step of a kind; "repeat" sends an earlier operation again."""
        step: Step = getattr(self, f"_{kind}")()
        if not isinstance(step, Advance):
            self.before.append(step)
        return step

    def saw(self, queue: str, tasks: Sequence[Task]) -> None:
        """These leases were granted."""
        self.granted.extend((queue, LeaseRef(task.id, task.lease)) for task in tasks)

    # --- choosing

    def _chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def _pick(self, *choices: Any) -> Any:
        return choices[self.random.randrange(len(choices))]

    def _queue(self) -> str:
        if self._chance(5):
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

    def _submit(self) -> Submit:
        queue = self._queue()
        groups = tuple(self._group() for _ in range(self._pick(1, 1, 1, 2, 3)))
        settlements = self._settlements(queue) if self._chance(40) else ()
        along = Along(claim=self._claim_along(queue), settlements=settlements)
        return Submit(queue, groups, along)

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
            payload=self._pick(b"", b"payload", b"\x00\n|\xff" * 5, LARGE),
            priority=self._pick(1, 2, 2, 3),
            due_at=due_at,
            delay_ms=delay_ms,
            at_most_once=at_most_once,
            max_retries=self._pick(None, None, 0, 3),
            retry_delay_ms=self._pick(None, None, 250),
            timeout_ms=self._pick(None, 9_000),
            **self._extras(),
        )

    def _extras(self) -> dict[str, Any]:
        if self._chance(75):
            return {}
        key = self._pick("", "acme", "acme", "b", "é 100%,a=b\n")
        unique = self._pick(*UNIQUE)
        if unique.startswith(LATEST):
            key = latest_key(unique_key(unique).key)
        return {
            "key": key,
            "cost": COSTS.get(key, 5),
            "start_by_ms": self._pick(0, 0, 300, 2_000, 30_000),
            "unique": unique,
            "trace": self._pick(
                "", "", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 a=1,b=2"
            ),
        }

    def _claim(self) -> Claim:
        queue = self._queue()
        return Claim(queue, self._request(queue))

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
        last = known.indexed.lane(f"{who}.{lane}") if known else 0
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

    def _settle(self) -> Settle:
        queue = self._queue()
        return Settle(queue, self._settlements(queue), self._claim_along(queue))

    def _settlements(self, queue: str) -> tuple[Settlement, ...]:
        count = self._pick(0, 1, 1, 1, 2, 3)
        found = (self._settlement(queue) for _ in range(count))
        return tuple(one for one in found if one is not None)

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
            Succeeded(LARGE[::-1]),
            Failed(error="boom: 'é'\n|", retry_after_ms=None),
            Failed(error="again", retry_after_ms=self._pick(0, 300, 5_000)),
            Failed(error="", retry_after_ms=1),
            Failed(error="later", retry_after_ms=self._pick(0, 300), counts=False),
            Failed(error="no", retry_after_ms=None, counts=False),
            *(Failed(error="é", retry_after_ms=None, report=report) for report in REPORTS[:3]),
            Failed(error="soon", retry_after_ms=0, report=self._pick(*REPORTS)),
            Snoozed(error="näh \n|", after_ms=self._pick(0, 300, 2_000), scope=self._pick(*SCOPES)),
            Released(self._chance(50)),
            NotStarted(self._pick("no room", "näh \n|", "")),
        )
        settlement = Settlement(task_id=ref.task_id, lease=ref.lease, event=event)
        self.settled.append((queue, settlement))
        return settlement

    def _ref(self, queue: str) -> LeaseRef | None:
        """A current lease, mostly; else one that was granted some time."""
        leased = [task for task in self._existing(queue) if task.lease]
        leased += [task for task in leased if task.cancel_requested] * 8
        current = [LeaseRef(task.id, task.lease) for task in leased]
        if current and self._chance(85):
            return current[self.random.randrange(len(current))]
        past = [ref for where, ref in self.granted if where == queue or self._chance(2)]
        if past:
            return past[self.random.randrange(len(past))]
        return current[0] if current else None

    def _extend(self) -> Extend:
        queue = self._queue()
        refs = [ref for ref in (self._ref(queue) for _ in range(self._pick(1, 1, 2, 4))) if ref]
        reports = tuple(self._progress() for _ in refs) if self._chance(40) else ()
        return Extend(queue, tuple(refs), self._lease_ms(), reports)

    def _progress(self) -> ProgressReport | None:
        number, message = self.random.randrange(1, 9), self._pick("", "page 3", "é 100%,a=b.\n")
        return ProgressReport(number, 100_000 * number, message) if self._chance(60) else None

    def _checkpoint(self) -> SaveCheckpoint:
        queue = self._queue()
        ref = self._ref(queue) or LeaseRef(self._id(), "w0.0.1.1")
        data = self._pick(b"page 3", b"\x00\n|\xff", LARGE)
        return SaveCheckpoint(queue, ref, self.random.randrange(1, 4), data)

    def _announce(self) -> Announce:
        queue, who = self._queue(), self._pick(*WORKERS)
        known = self.announced.get((queue, who), ())
        own = [name for name in FUNCTIONS if not name.startswith("@")]
        known = tuple(dict.fromkeys((*known, self._pick(*own))))
        self.announced[queue, who] = known
        slots = self._pick(None, SlotLimit(), SlotLimit(2), SlotLimit(1, is_shared=True))
        report = self._pick("", "", '{"name": "näh %"}', '{"name": "b c"}')
        ttl_ms = self._pick(1_000, 60_000, HOUR_MS, HOUR_MS)
        return Announce(queue, who, known, ttl_ms, slots, report)

    def _processes(self) -> Processes:
        return Processes()

    def _depart(self) -> Depart:
        return Depart(self._queue(), self._pick(*WORKERS))

    # --- what people and maintenance do

    def _cancel(self) -> Cancel:
        return Cancel(*self._named())

    def _hasten(self) -> Hasten:
        queue = self._queue()
        later = [
            task for task in self._existing(queue) if task.is_waiting and task.ready_at > self.now()
        ]
        if not later or self._chance(30):
            return Hasten(*self._named())
        task = later[self.random.randrange(len(later))]
        return Hasten(queue, task.id, self._pick(None, task.life))

    def _cancel_all(self) -> CancelAll:
        queue, refs = self._refs()
        waiting = [task for task in self._existing(queue) if task.is_waiting or task.lease]
        self.random.shuffle(waiting)
        return CancelAll(queue, (*(LifeRef(one.id, one.life) for one in waiting[:2]), *refs))

    def _replay(self) -> Replay:
        payload = self._pick(None, None, None, b"", b"other", LARGE[::-1])
        return Replay(*self._named(), payload, self._pick(None, None, "", "acme", "é 100%,a=b\n"))

    def _replay_all(self) -> ReplayAll:
        queue, refs = self._refs()
        return ReplayAll(queue, refs, self._pick(0, 0, 0, 500), self._pick(0, 0, 300))

    def _forget(self) -> Forget:
        return Forget(*self._refs(*self._pick((), (), (), tuple(sorted(TERMINAL)))))

    def _refs(self, *statuses: TaskStatus) -> tuple[str, tuple[LifeRef, ...]]:
        """Dead letters mostly, or tasks of these `statuses`, in the life that they are in or another one."""
        queue, refs = self._queue(), list[LifeRef]()
        wanted = statuses or (TaskStatus.FAILED,)
        failed = [task for task in self._existing(queue) if task.status in wanted]
        for _ in range(self._pick(1, 1, 2, 4)):
            known = self.namespace.records.get(self._id())
            if failed and self._chance(80):
                known = self._pick(*failed)
            life = known.life if known is not None else Life(1, 0)
            past = Life(life.ticket, max(0, life.replays - 1))
            other = Life(max(0, life.ticket - 1), 0)
            refs.append(
                LifeRef(known.id if known else self._id(), self._pick(*[life] * 6, past, other))
            )
        return queue, tuple(refs)

    def _named(self) -> tuple[str, str, Life | None]:
        queue, task_id = self._queue(), self._id()
        existing = self._existing(queue)
        leased = [task for task in existing if task.lease]
        if leased and self._chance(45):
            task_id = self._pick(*leased).id
        elif existing and self._chance(85):
            ended = [task for task in existing if task.is_terminal]
            task_id = self._pick(*existing, *ended, *ended).id
        known = self.namespace.records.get(task_id)
        life = known.life if known is not None else Life(1, 0)
        past = Life(life.ticket, max(0, life.replays - 1))
        return queue, task_id, self._pick(None, None, life, life, past, Life(life.ticket - 1, 0))

    def _control(self) -> Control:
        queue, who = self._queue(), self._pick("person", "w0", "w1")
        known = self.namespace.queues.get(queue)
        sequence = (known.indexed.lane(f"{who}.control") if known else 0) + 1
        if self._chance(20):
            sequence = max(1, sequence - self._pick(1, 2))
        resume = Command.RESUME
        reset = Command.RESET_BREAKER
        command = self._pick(Command.PAUSE, resume, resume, resume, reset, reset, *Command)
        return Control(queue, command, who, sequence, self._pick("", "Eve: 'näh' =~;"))

    def _empty(self) -> Empty:
        queue = self._queue()
        known = self.namespace.queues.get(queue)
        last = known.indexed.state.ticket if known else 1
        return Empty(queue, self._pick(last, last, max(1, last - 2)), 0, SWEEP_LIMIT)

    def _override(self) -> SetOverrides:
        values = {
            "max_workers": self._pick(1, 4),
            "max_size": self._pick(2, 30),
            "rates": self._pick((), *RATES),
            "timeout_ms": self._pick(100, 9_000),
            "breaker_failures": self._pick(0, 2),
            "max_retries": self._pick(0, 7),
        }
        names = self.random.sample(sorted(values), 3)
        chosen = {name: values[name] for name in names[: self._pick(0, 1, 2)]}
        removed = tuple(name for name in names if name not in chosen)
        self.editions += 1
        by = "Eve ~;=" if self.editions % 3 else ""
        return SetOverrides(self._queue(), chosen, removed, f"edition{self.editions}", by)

    def _limit_key(self) -> LimitKey:
        own = OwnLimits(
            workers=self._pick(None, 1, 3),
            rates=self._pick(None, None, (), *KEY_RATES),
            size=self._pick(None, None, 2),
        )
        key = self._pick("acme", "acme", "b", "nobody's")
        lasts_ms = self._pick(0, 0, 500, 2_000, 20_000)
        return LimitKey(self._queue(), key, self._pick(own, own, None), lasts_ms)

    def _key_limits(self) -> ListKeyLimits:
        return ListKeyLimits(self._queue(), self._pick("", "", "acme", "b"))

    def _declare(self) -> Declare:
        drawn: dict[str, Any] = {
            name: self._pick(*values) for name, values in settings_to_draw().items()
        }
        settings = Settings(
            **drawn,
            max_workers=self._pick(1, 3, 6, 20),
            max_size=self._pick(4, 12, 40, 40),
            breaker_failures=self._pick(0, 0, 1, 3, 3),
            breaker_reset_ms=self._pick(500, 5_000),
            breaker_probes=self._pick(1, 1, 2),
            max_deliveries=self._pick(0, 1, 5),
            key_workers=self._pick(0, 0, 1, 1, 2),
            key_size=self._pick(0, 0, 0, 3),
            key_rate=self._pick((), (), *KEY_RATES),
            task_ttl_ms=self._pick(5_000, 20_000),
            dead_letter_ttl_ms=self._pick(8_000, TTL_MS),
            max_dead_letters=self._pick(0, 0, 1, 6),
        )
        missing = [queue for queue in QUEUES if queue not in self.namespace.queues]
        queue = self._pick(*missing or QUEUES)
        self.editions += 1
        edition = f"edition{self.editions}"
        return Declare(queue, settings, edition, self._chance(80))

    def _put_schedule(self) -> PutSchedule:
        self.editions += 1
        call = attrs.evolve(self._call(), due_at=None, delay_ms=0, start_by_ms=0)
        schedule = Schedule(
            name=self._pick(*SCHEDULES),
            queue=self._queue(),
            call=call if self._chance(50) else attrs.evolve(PLAIN_CALL, function=call.function),
            every_ms=self._pick(300, 2_000, 2_000),
            overlap=self._pick(*Overlap),
            missed=self._pick(*Missed),
            jitter_ms=self._pick(0, 0, 400),
            starts_at=self._pick(None, None, 1_000),
            by_code=self._chance(50),
        )
        return PutSchedule(schedule, f"edition{self.editions}")

    def _steer_schedule(self) -> SteerSchedule:
        verb = self._pick(*ScheduleVerb, ScheduleVerb.RESUME, ScheduleVerb.RESUME)
        note = self._pick("", "Eve: 'näh' =~;")
        return SteerSchedule(self._queue(), self._pick(*SCHEDULES), verb, note)

    def _schedules(self) -> ListSchedules:
        return ListSchedules()

    def _tick(self) -> Tick:
        """A tick that is due, mostly, as a process that has just looked would submit it."""
        name = self._pick(*SCHEDULES)
        known = self.namespace.schedules.get(name)
        if known is None:
            return Tick(self._queue(), TickCommit(name=name, edition="e", after=0, upto=1))
        schedule, now = known.schedule, self.now()
        upto = self._pick(now, now, now, known.after + schedule.every_ms, now + 1, known.after)
        nonce = tick_nonce(known.edition, 0)
        commit = TickCommit(
            name=name,
            edition=known.edition if self._chance(95) else "other",
            after=known.after if self._chance(95) else known.after - 1,
            upto=upto,
            overlap=schedule.overlap,
            call=call_of(schedule, upto, nonce) if self._chance(85) else None,
        )
        return Tick(schedule.queue, commit)

    def _sweep(self) -> Sweep:
        gone_by = self._pick(None, self.now(), self.now(), self.now(), self.now() - 5_000)
        return Sweep(self._queue(), SWEEP_LIMIT, HOUR_MS, gone_by)

    def _purge(self) -> Purge:
        queue = self._pick("c", "c", "c", "c", NOWHERE, *QUEUES)
        known = self.namespace.queues.get(queue)
        edition = known.indexed.state.edition if known and self._chance(80) else ""
        return Purge(queue, edition)

    def _watch(self) -> Watch:
        return Watch(self._queue(), self._ids(), self._pick(*WORKERS))

    # --- looking

    def _find(self) -> Find:
        return Find(self._ids())

    def _payload(self) -> ReadPayload:
        return ReadPayload((*self._ids(), *IDS)[0])

    def _running(self) -> Running:
        return Running(self._queue())

    def _failed(self) -> ListFailed:
        group = self._pick(None, None, *GROUPS, "lost", "failed", "no such group")
        return ListFailed(self._queue(), None, self._pick(1, 2, 5, 100), group)

    def _waiting(self) -> ListWaiting:
        wanted = WaitingFilter(
            states=self._pick(EVERY_STATE, EVERY_STATE, (WaitingState.DEFERRED,)),
            function=self._pick(None, None, None, *FUNCTIONS),
            key=self._pick(None, None, None, "acme", "b"),
            task_type=self._pick(None, None, None, "sell", "é|type"),
            since_ms=self._pick(None, None, None, self.now() - 10_000),
            until_ms=self._pick(None, None, None, self.now() - 3_000),
        )
        return ListWaiting(self._queue(), wanted, None, self._pick(1, 2, 5, 100))

    def _groups(self) -> ListGroups:
        return ListGroups(
            self._queue(), self._pick("", "", *GROUPS, "lost"), self._pick(1, 2, 5, 100)
        )

    def _attempts(self) -> ReadAttempts:
        queue, refs = self._refs()
        tasks = self._existing(queue)
        more = [LifeRef(task.id, task.life) for task in tasks if task.attempt > 1]
        return ReadAttempts(queue, (*refs, *more))

    def _status(self) -> Status:
        return Status(self._queue())

    def _examine(self) -> Examine:
        return Examine(self._queue(), self._pick(*EXAMINED_PARTS), 0, 1_000)

    def _history(self) -> History:
        step_ms, steps = self._pick((60_000, 60), (60_000, 1_440), (60_000, 1), (HOUR_MS, 720))
        return History(self._queue(), step_ms, steps)

    def _pasts(self) -> Pasts:
        names = {self._queue() for _ in range(self._pick(1, 2, 3))}
        step_ms, steps = self._pick((60_000, 60), (60_000, 1), (HOUR_MS, 720))
        return Pasts(tuple(sorted(names)), step_ms, steps)

    def _statuses(self) -> Statuses:
        names = {self._queue() for _ in range(self._pick(1, 2, 3))}
        return Statuses(tuple(sorted(names)))

    def _settings(self) -> ReadSettings:
        return ReadSettings(self._queue())

    def _queues(self) -> Queues:
        return Queues()

    def _explain(self) -> Explain:
        return Explain(*self._named()[:2])

    def _peek(self) -> Peek:
        return Peek(self._queue())

    def _unreadable(self) -> ListUnreadable:
        return ListUnreadable(self._queue(), 10)

    def _discard(self) -> Discard:
        return Discard(self._queue(), self._id())

    # --- the world

    def _advance(self) -> Advance:
        ms = self._pick(1, 1, 10, 50, 100, 100, 300, 300, 1_000, 2_000)
        if self._chance(6):
            ms = self._pick(5_000, 15_000, 15_000, TTL_MS)
        elif self._chance(3):
            ms = self._pick(2 * TTL_MS, HOUR_MS + 60_000, 2 * HOUR_MS)
        elif self._chance(3):
            ms = -self._pick(1_000, 4_000, 20_000)
        return Advance(ms)

    def _repeat(self) -> Operation[Any]:
        return self.before[self.random.randrange(len(self.before))] if self.before else self._find()


WEIGHT_OF = {
    "submit": 20,
    "claim": 20,
    "settle": 20,
    "advance": 10,
    "extend": 10,
    "checkpoint": 8,
    "sweep": 10,
    "announce": 5,
    "cancel": 8,
    "hasten": 3,
    "replay": 8,
    "replay_all": 1.5,
    "forget": 1,
    "failed": 3,
    "groups": 4,
    "waiting": 4,
    "attempts": 3,
    "cancel_all": 2,
    "repeat": 3,
    "control": 5,
    "declare": 2,
    "override": 2,
    "limit_key": 3,
    "key_limits": 1,
    "put_schedule": 1,
    "steer_schedule": 1,
    "schedules": 1,
    "tick": 4,
    "empty": 1.2,
    "watch": 2,
    "explain": 10,
    "history": 6,
    "examine": 2,
    "settings": 0.6,
    "queues": 0.6,
    "statuses": 0.6,
    "pasts": 0.5,
    "depart": 0.7,
    "purge": 0.6,
    "unreadable": 0.6,
    "discard": 0.6,
}
KINDS = (*(kind.name for kind in OPERATIONS), "advance", "repeat")
WEIGHTS = tuple(WEIGHT_OF.get(kind, 1) for kind in KINDS)
