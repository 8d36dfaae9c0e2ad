"""Sees what each operation changed, and asks every oracle about it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kew.adapters.memory.namespace import MemoryQueue, Namespace
from kew.app.ports import Claim, Operation, Settle, Submit
from kew.domain.keys import KEYLESS, key_of
from kew.domain.ordering import order_key
from kew.domain.requests import Settlement, SettleOutcome
from kew.domain.sharing import Starved
from kew.domain.task import Task
from kew.domain.view import QueueState
from kew.simulation.facts import Facts
from kew.simulation.oracle import Alteration, Oracle, Step
from kew.simulation.oracles import make_oracles

FULL_LOOK_EVERY: Final = 64


class Witness:
    """A copy of the store's records, compared with them after each operation."""

    def __init__(self, facts: Facts, namespace: Namespace) -> None:
        self.facts = facts
        self.oracles: Sequence[Oracle] = make_oracles(facts)
        self._judges = [one for one in self.oracles if type(one).judge is not Oracle.judge]
        self._judges_of: dict[type[Operation[Any]], Sequence[Oracle]] = {}
        self._lookers = [one for one in self.oracles if type(one).look is not Oracle.look]
        self.steps = 0
        self.ended = 0  # tasks, so far
        self._namespace = namespace
        self._records: dict[str, Task] = {}
        self._states: dict[str, QueueState] = {}
        self._starved: dict[str, Mapping[str, Starved]] = {}
        self._waiting: dict[str, dict[str, Task]] = defaultdict(dict)
        self._leased: dict[str, dict[str, Task]] = defaultdict(dict)

    def watch(self, operation: Operation[Any], reply: object, caller: str) -> None:
        """Judge an operation that has just been carried out."""
        self.steps += 1
        step = self._step(operation, reply, caller)
        self._note(step)
        for oracle in self._judges if step.alterations else self._judges_unaltered(type(operation)):
            for text in oracle.judge(step):
                self.facts.fail(oracle.name, f"{operation.name} by {caller}: {text}")
        if self.steps % FULL_LOOK_EVERY == 0:
            self.look_at_all()

    def _judges_unaltered(self, kind: type[Operation[Any]]) -> Sequence[Oracle]:
        """The oracles that judge such an operation although it altered no record."""
        if kind not in self._judges_of:
            self._judges_of[kind] = [one for one in self._judges if one.judges_unaltered(kind)]
        return self._judges_of[kind]

    def task_to_explain(self, queue: str) -> str | None:
        """One of the tasks that wait: by turns the first in order, and any."""
        waiting = self._waiting[queue]
        if not waiting:
            return None
        if self.steps % 2:
            return min(waiting.values(), key=order_key).id
        return list(waiting)[self.steps // 2 % len(waiting)]

    def look_at_all(self) -> None:
        """Compare what the store counts with what there is."""
        for name, queue in self._namespace.queues.items():
            held, waiting = len(self._leased[name]), len(self._waiting[name])
            if (queue.indexed.held(), queue.indexed.waiting()) != (held, waiting):
                self.facts.fail(
                    "indexes",
                    f"{name} counts {queue.indexed.held()} leases and {queue.indexed.waiting()} waiting, "
                    f"but has {held} and {waiting}",
                )
            if queue.indexed.counts_keys:
                self._look_at_keys(name, queue)

    def _look_at_keys(self, name: str, queue: MemoryQueue) -> None:
        held = Counter(key_of(task.call) for task in self._leased[name].values())
        waiting = Counter(key_of(task.call) for task in self._waiting[name].values())
        known = {key_of(task.call) for task in self._records.values() if task.queue == name}
        for key in known - {KEYLESS}:
            counted = queue.indexed.held_of(key), queue.indexed.waiting_of(key)
            if counted != (held[key], waiting[key]):
                self.facts.fail(
                    "indexes",
                    f"{name} counts {counted} leases and waiting tasks of the key {key!r}, "
                    f"but has {held[key]} and {waiting[key]}",
                )

    def look_around(self) -> None:
        """Now and then, between operations: whether anything waits for nothing."""
        now = self._namespace.last_ms
        for name, queue in self._namespace.queues.items():
            is_busy = any(self._leased.values())
            for oracle in self._lookers:
                for text in oracle.look(queue, self._waiting[name], now, is_busy=is_busy):
                    self.facts.fail(oracle.name, f"{name}: {text}")

    def forgot(self) -> None:
        """The store lost its last writes: start again with what is left."""
        self._records, self._states, self._starved = {}, {}, {}
        self._waiting.clear()
        self._leased.clear()
        self._alterations()
        for name, queue in self._namespace.queues.items():
            self._states[name], self._starved[name] = (
                queue.indexed.state,
                dict(queue.indexed.starved),
            )
        for oracle in self.oracles:
            oracle.forgot()

    def at_end(self) -> None:
        """Judge the whole run."""
        self.look_at_all()
        for oracle in self.oracles:
            for text in oracle.at_end(self._namespace.records):
                self.facts.fail(oracle.name, f"at the end: {text}")

    # --- seeing

    def _step(self, operation: Operation[Any], reply: Any, caller: str) -> Step:
        name = operation.queue
        queue = self._namespace.queues.get(name)
        leased_before = self._leased[name]
        before, starved_before = self._states.get(name), self._starved.get(name, {})
        alterations = self._alterations()
        after = queue.indexed.state if queue else None
        if after is None:
            self._states.pop(name, None)
            self._starved.pop(name, None)
        else:
            assert queue is not None
            self._states[name], self._starved[name] = after, dict(queue.indexed.starved)
        step = Step(
            operation=operation,
            reply=reply,
            caller=caller,
            queue=name,
            now=self._namespace.last_ms,
            at=self.facts.loop.world_time(),
            alterations=alterations,
            before=before,
            after=after,
            indexed=queue.indexed if queue else None,
            presence=queue.presence if queue else {},
            waiting=self._waiting[name],
            leased=self._leased[name],
            leased_before=leased_before,
            starved_before=starved_before,
        )
        _add_what_came_along(step)
        return step

    def _alterations(self) -> list[Alteration]:
        """What differs; records are values, so one that is the same object is unchanged."""
        known, records = self._records, self._namespace.records
        found = [
            Alteration(known.get(task_id), task)
            for task_id, task in records.items()
            if known.get(task_id) is not task
        ]
        if len(known) + sum(one.old is None for one in found) != len(records):
            found += [Alteration(old, None) for i, old in known.items() if i not in records]
        if found:
            queues = {one.new.queue if one.new else one.old.queue for one in found}  # type: ignore[union-attr]
            for name in queues:
                self._leased[name] = dict(self._leased[name])
            for one in found:
                self._take_over(one)
        return found

    def _take_over(self, one: Alteration) -> None:
        old, new = one.old, one.new
        if old is not None:
            self._waiting[old.queue].pop(old.id, None)
            self._leased[old.queue].pop(old.id, None)
        if new is None:
            del self._records[one.id]
            return
        self._records[new.id] = new
        if new.is_waiting:
            self._waiting[new.queue][new.id] = new
        elif new.is_terminal:
            self.ended += 1
        else:
            self._leased[new.queue][new.id] = new

    def _note(self, step: Step) -> None:
        """A line for the trace: who asked what, and what came of it."""
        changed = " ".join(
            f"{one.id}={one.new.status.value}/{one.new.attempt}" if one.new else f"{one.id}=gone"
            for one in step.alterations
        )
        self.facts.loop.note(step.caller, step.operation.name, step.queue, changed)


def _add_what_came_along(step: Step) -> None:
    match step.operation:
        case Claim(request=request):
            step.request, step.grant = request, step.reply
        case Submit(along=along):
            step.request, step.grant = along.claim, step.reply.grant
            step.settled = _settled(along.settlements, step.reply.settled)
        case Settle(settlements=settlements, claim=request):
            step.request, step.grant = request, step.reply.grant
            step.settled = _settled(settlements, step.reply.outcomes)


def _settled(
    settlements: Sequence[Settlement], outcomes: Sequence[SettleOutcome]
) -> dict[tuple[str, str], tuple[Settlement, SettleOutcome]]:
    pairs = zip(settlements, outcomes, strict=True)
    return {(one.task_id, one.lease): (one, outcome) for one, outcome in pairs}
