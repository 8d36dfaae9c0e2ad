"""The one store of a simulated world: the memory store, judged after every operation by whoever watches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from kew.adapters.memory.book import Book
from kew.adapters.memory.namespace import MemoryQueue, Namespace
from kew.adapters.memory.store import MemoryStore
from kew.adapters.simulation.chance import StoreClock
from kew.adapters.simulation.errors import SimulationError
from kew.domain.queue import Change, QueueState
from kew.domain.task import Task

KEPT_MEMORIES: Final = 8


@attrs.frozen(kw_only=True)
class QueueMemory:
    """One queue on a disk."""

    state: QueueState
    lanes: Mapping[str, int]
    functions: Mapping[str, frozenset[str]]
    presence: Mapping[str, int]


@attrs.frozen(kw_only=True)
class Memory:
    """What a store had written at an instant of virtual time."""

    at: float
    last_ms: int
    records: Mapping[str, Task]
    queues: Mapping[str, QueueMemory]


Watcher = Callable[[str, tuple[Any, ...], object, str], None]


class Server:
    """Carries operations out, one at a time. `watch` is called after each: name, arguments, reply, caller."""

    def __init__(self, time: Callable[[], float], namespace: Namespace) -> None:
        self.clock = StoreClock(time)
        self.namespace = namespace
        self.store = MemoryStore(self.clock, namespace)
        self.operations: Counter[str] = Counter()
        self.watch: Watcher | None = None
        self._time = time
        self._memories: list[Memory] = []

    def execute(self, operation: str, args: tuple[Any, ...], caller: str) -> object:
        """The store's reply to a call of its port."""
        self.operations[operation] += 1
        reply = _without_a_pause(getattr(self.store, operation)(*args))
        if self.watch is not None:
            self.watch(operation, args, reply, caller)
        return reply

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


def _without_a_pause(operation: Any) -> object:
    try:
        operation.send(None)
    except StopIteration as done:
        return done.value
    raise SimulationError("the memory store waited for something, so it isn't atomic")


def _memory_of(namespace: Namespace, at: float) -> Memory:
    return Memory(
        at=at,
        last_ms=namespace.last_ms,
        records=dict(namespace.records),
        queues={
            name: QueueMemory(
                state=queue.book.state,
                lanes=dict(queue.book.lanes),
                functions={who: frozenset(names) for who, names in queue.book.functions.items()},
                presence=dict(queue.presence),
            )
            for name, queue in namespace.queues.items()
        },
    )


def _restore(namespace: Namespace, memory: Memory) -> None:
    namespace.records.clear()
    namespace.queues.clear()
    for name, kept in memory.queues.items():
        book = Book(name, kept.state, namespace.records)
        book.lanes.update(kept.lanes)
        book.functions.update({who: set(names) for who, names in kept.functions.items()})
        queue = namespace.queues[name] = MemoryQueue(book)
        queue.presence.update(kept.presence)
    for task in memory.records.values():
        namespace.queues[task.queue].book.apply(Change((task,)), memory.last_ms)
