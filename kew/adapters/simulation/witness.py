"""Sees what each operation changed, and asks every oracle about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kew.adapters.memory.namespace import Namespace
from kew.adapters.simulation.facts import Facts
from kew.adapters.simulation.oracle import Alteration, Oracle, Step
from kew.adapters.simulation.oracles import make_oracles
from kew.domain.queue import QueueState
from kew.domain.requests import SettleOutcome
from kew.domain.sharing import Hungry
from kew.domain.task import Task

FULL_LOOK_EVERY: Final = 64
NAMESPACE_WIDE: Final = frozenset({"find", "queues"})


class Witness:
    """A copy of the store's records, compared with them after each operation."""

    def __init__(self, facts: Facts, namespace: Namespace) -> None:
        self.facts = facts
        self.oracles: Sequence[Oracle] = make_oracles(facts)
        self.steps = 0
        self.ended = 0  # tasks, so far
        self._namespace = namespace
        self._records: dict[str, Task] = {}
        self._states: dict[str, QueueState] = {}
        self._hungry: dict[str, Mapping[str, Hungry]] = {}
        self._waiting: dict[str, dict[str, Task]] = defaultdict(dict)
        self._leased: dict[str, dict[str, Task]] = defaultdict(dict)

    def watch(self, operation: str, args: tuple[Any, ...], reply: object, caller: str) -> None:
        """Judge an operation that has just been carried out."""
        self.steps += 1
        step = self._step(operation, args, reply, caller)
        self._note(step)
        for oracle in self.oracles:
            for text in oracle.judge(step):
                self.facts.fail(oracle.name, f"{operation} by {caller}: {text}")
        if self.steps % FULL_LOOK_EVERY == 0:
            self.look_at_all()

    def look_at_all(self) -> None:
        """Compare what the store counts with what there is."""
        for name, queue in self._namespace.queues.items():
            held, waiting = len(self._leased[name]), len(self._waiting[name])
            if (queue.book.held(), queue.book.waiting()) != (held, waiting):
                self.facts.fail(
                    "indexes",
                    f"{name} counts {queue.book.held()} leases and {queue.book.waiting()} waiting, "
                    f"and has {held} and {waiting}",
                )

    def look_around(self) -> None:
        """Now and then, between operations: whether anything waits for nothing."""
        now = self._namespace.last_ms
        for name, queue in self._namespace.queues.items():
            leased = any(self._leased.values())
            for oracle in self.oracles:
                for text in oracle.look(queue, self._waiting[name], now, is_busy=leased):
                    self.facts.fail(oracle.name, f"{name}: {text}")

    def forgot(self) -> None:
        """The store lost its last writes: begin anew with what is left."""
        self._records, self._states, self._hungry = {}, {}, {}
        self._waiting.clear()
        self._leased.clear()
        self._alterations()
        for name, queue in self._namespace.queues.items():
            self._states[name], self._hungry[name] = queue.book.state, dict(queue.book.hungry)
        for oracle in self.oracles:
            oracle.forgot()

    def at_end(self) -> None:
        """Judge the whole run."""
        self.look_at_all()
        for oracle in self.oracles:
            for text in oracle.at_end(self._namespace.records):
                self.facts.fail(oracle.name, f"at the end: {text}")

    # --- seeing

    def _step(self, operation: str, args: tuple[Any, ...], reply: Any, caller: str) -> Step:
        name = "" if operation in NAMESPACE_WIDE else args[0]
        queue = self._namespace.queues.get(name)
        leased_before = self._leased[name]
        before, hungry_before = self._states.get(name), self._hungry.get(name, {})
        alterations = self._alterations()
        after = queue.book.state if queue else None
        if after is None:
            self._states.pop(name, None)
            self._hungry.pop(name, None)
        else:
            assert queue is not None
            self._states[name], self._hungry[name] = after, dict(queue.book.hungry)
        step = Step(
            operation=operation,
            args=args,
            reply=reply,
            caller=caller,
            queue=name,
            now=self._namespace.last_ms,
            at=self.facts.loop.time(),
            alterations=alterations,
            before=before,
            after=after,
            book=queue.book if queue else None,
            presence=queue.presence if queue else {},
            waiting=self._waiting[name],
            leased=self._leased[name],
            leased_before=leased_before,
            hungry_before=hungry_before,
        )
        _add_what_was_claimed(step)
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
        self.facts.loop.note(step.caller, step.operation, step.queue, changed)


def _add_what_was_claimed(step: Step) -> None:
    match step.operation:
        case "claim":
            step.request, step.grant = step.args[1], step.reply
        case "submit" | "settle":
            step.request, step.grant = step.args[2], step.reply.grant
    if step.operation == "settle":
        pairs: list[tuple[Any, SettleOutcome]] = list(
            zip(step.args[1], step.reply.outcomes, strict=True)
        )
        step.settled = {(one.task_id, one.lease): (one, outcome) for one, outcome in pairs}
