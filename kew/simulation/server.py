"""The one store of a simulated world: the memory store, judged after every operation by its watcher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Final, TypeVar

import attrs

from kew.adapters.memory.attempts import LifeKey
from kew.adapters.memory.indexed_queue import IndexedQueue
from kew.adapters.memory.namespace import MemoryQueue, Namespace
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Claim, Explain, Operation
from kew.domain.attempts import FailedAttempt
from kew.domain.queue import Change
from kew.domain.task import Task
from kew.domain.view import QueueState
from kew.simulation.chance import StoreClock
from kew.simulation.errors import SimulationError

KEPT_MEMORIES: Final = 48  # one every half second


@attrs.frozen(kw_only=True)
class QueueMemory:
    """One queue on a disk."""

    state: QueueState
    lanes: Mapping[str, int]
    functions: Mapping[str, frozenset[str]]
    presence: Mapping[str, int]
    attempts: Mapping[LifeKey, tuple[FailedAttempt, ...]]


@attrs.frozen(kw_only=True)
class Memory:
    """What a store had written at an instant of virtual time."""

    at: float
    last_ms: int
    records: Mapping[str, Task]
    queues: Mapping[str, QueueMemory]


A = TypeVar("A")
Watcher = Callable[[Operation[Any], object, str], None]


class Server:
    """Carries operations out, one at a time. `watch` is called after each: operation, reply, caller."""

    def __init__(
        self, time: Callable[[], float], namespace: Namespace, clock: StoreClock | None = None
    ) -> None:
        self.clock = clock or StoreClock(time)
        self.namespace = namespace
        self.store = MemoryStore(self.clock, namespace)
        self.operations: Counter[str] = Counter()
        self.watch: Watcher | None = None
        # Which task of a queue to explain before a claim from it, for the watcher to judge.
        self.task_to_explain: Callable[[str], str | None] = lambda queue: None
        self._time = time
        self._memories: list[Memory] = []

    def execute(self, operation: Operation[A], caller: str) -> A:
        """The store's reply."""
        self.explain_before(operation)
        self.operations[operation.name] += 1
        reply = _without_a_pause(self.store.do(operation))
        self._done(operation, reply, caller)
        return reply

    def _done(self, operation: Operation[Any], reply: object, caller: str) -> None:
        if self.watch is not None:
            self.watch(operation, reply, caller)

    def explain_before(self, operation: Operation[Any]) -> None:
        """Before a claim, explain one of the tasks that wait."""
        if isinstance(operation, Claim):
            task_id = self.task_to_explain(operation.queue)
            if task_id is not None:
                self.execute(Explain(operation.queue, task_id), "the witness")

    def leftovers(self) -> Iterator[str]:
        """What is to be cleared up yet, in words, beside tasks."""
        yield from ()

    def restarted(self) -> None:
        """It went down and came back with all that it had written."""

    # --- a store that loses its last writes

    def write_down(self) -> None:
        """Remember what there is now; of several such memories the latest are kept."""
        self._memories.append(_memory_of(self.namespace, self._time()))
        del self._memories[:-KEPT_MEMORIES]

    def forget(self, since: float) -> float | None:
        """Go back to what was written down by `since`; the instant of that, or None: nothing was."""
        known = [memory for memory in self._memories if memory.at <= since]
        if not known:
            return None
        _restore(self.namespace, known[-1])
        self._memories = known
        return known[-1].at


def _without_a_pause(carried_out: Coroutine[Any, Any, A]) -> A:
    try:
        carried_out.send(None)
    except StopIteration as done:
        reply: A = done.value
        return reply
    raise SimulationError("the memory store waited for something, so it isn't atomic")


def _memory_of(namespace: Namespace, at: float) -> Memory:
    return Memory(
        at=at,
        last_ms=namespace.last_ms,
        records=dict(namespace.records),
        queues={
            name: QueueMemory(
                state=queue.indexed.state,
                lanes=dict(queue.indexed.lanes),
                functions={who: frozenset(names) for who, names in queue.indexed.functions.items()},
                presence=dict(queue.presence),
                attempts=dict(queue.indexed.dead.attempts),
            )
            for name, queue in namespace.queues.items()
        },
    )


def _restore(namespace: Namespace, memory: Memory) -> None:
    namespace.records.clear()
    namespace.queues.clear()
    for name, kept in memory.queues.items():
        indexed = IndexedQueue(name, kept.state, namespace.records)
        indexed.dead.attempts.update(kept.attempts)
        indexed.lanes.update(kept.lanes)
        indexed.functions.update({who: set(names) for who, names in kept.functions.items()})
        queue = namespace.queues[name] = MemoryQueue(indexed)
        queue.presence.update(kept.presence)
    for task in memory.records.values():
        namespace.queues[task.queue].indexed.apply(Change((task,)), memory.last_ms)
