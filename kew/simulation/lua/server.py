"""The store of a simulated world, once more: the Redis adapter with its real library, judged by what is in its keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import attrs

from kew.adapters.memory.namespace import Namespace
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.library import Library
from kew.adapters.redis.wakeup import notice_of
from kew.app.ports import Operation, Peek
from kew.compat import override
from kew.simulation.lua.mirror import Mirror, indexed_of
from kew.simulation.lua.redis import RedisInProcess
from kew.simulation.lua.wire import StoreInProcess, address_of, without_a_pause
from kew.simulation.notices import FaultyHub
from kew.simulation.server import KEPT_MEMORIES, Server

A = TypeVar("A")
NAMESPACE: Final = "kew"
# With parked tasks, the wake-up time in an answer may be this much later.
PARKED_RETRY_MS: Final = 5_000


@attrs.frozen
class Written:
    """What a Redis had on its disk at an instant of virtual time."""

    at: float
    keys: object


class LuaServer(Server):
    """Each process has an adapter of its own; all of them use one Redis in this process."""

    def __init__(self, time: Callable[[], float], namespace: Namespace, hub: FaultyHub) -> None:
        super().__init__(time, namespace)
        self.redis = RedisInProcess(self.clock.now_ms)
        self._hub = hub
        self._keys = Keys(NAMESPACE)
        self._library = Library()
        self._address = address_of(self.redis)
        self._stores: dict[str, StoreInProcess] = {}
        self._mirror = Mirror(self.redis, namespace, self._keys)
        self._subscriber = self.redis.subscriber()
        self._disk: list[Written] = []

    @override
    def execute(self, operation: Operation[A], caller: str) -> A:
        self.explain_before(operation)
        self.operations[operation.name] += 1
        store = self._store_of(caller)
        store.told_ms = None
        self._subscriber.listen_on(frozenset(map(self._keys.channel, self._hub.listeners())))
        reply = without_a_pause(store.do(operation))
        now = store.believed_ms() if isinstance(operation, Peek) else store.told_ms
        self.namespace.last_ms = self.clock.now_ms() if now is None else now
        self._mirror.refresh()
        self._notify()
        if self.watch is not None:
            self.watch(operation, reply, caller)
        return reply

    def _store_of(self, caller: str) -> StoreInProcess:
        store = self._stores.get(caller)
        if store is None:
            store = StoreInProcess(self._address, NAMESPACE, library=self._library)
            self._stores[caller] = store
        return store

    def _notify(self) -> None:
        """Hand what the library published to the network that carries notices."""
        for channel, text in self._subscriber.heard():
            notice = notice_of(text)
            assert notice is not None, f"the library published {text!r}"
            self._hub.notify(channel.removeprefix(self._keys.channels), notice)

    def peek_may_add_ms(self, queue: str) -> int:
        """How much longer than right the peek just carried out may tell to wait.

        By as much as the store's clock has moved, either way, since its last answer, and longer with parked or
        costly tasks.
        """
        known = self.namespace.queues.get(queue)
        if known is None:
            return 0
        indexed = indexed_of(known)
        believed, now = self.namespace.last_ms, self.clock.now_ms()
        moved = max(indexed.clock - believed, abs(now - believed))
        is_costly = any(
            task.call.cost > 1 and task.is_waiting and task.queue == queue
            for task in self.namespace.records.values()
        )
        return moved + (PARKED_RETRY_MS if indexed.parked or is_costly else 0)

    # --- a restart

    @override
    def restarted(self) -> None:
        self.redis.forget_library()

    @override
    def write_down(self) -> None:
        self._disk.append(Written(self._time(), self.redis.written()))
        del self._disk[:-KEPT_MEMORIES]

    @override
    def forget(self, since: float) -> float | None:
        known = [written for written in self._disk if written.at <= since]
        if not known:
            return None
        self.redis.restore(known[-1].keys)
        self._mirror.start_again()
        self._disk = known
        return known[-1].at
