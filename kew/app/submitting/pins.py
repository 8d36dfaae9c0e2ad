"""Closures that submits brought along: kept while a task needs them, and for a while after it failed.

Only this process can run a *pin* (a closure, lambda, partial or bound method), so it must keep it until the task has
ended. A task that completed needs it no more. One that failed or was cancelled can be replayed: of those, the latest
`KEPT` pins are kept. A task also ends elsewhere (a cancel, a purge, a store that lost its data), and the notification
may be lost, so a maintainer compares what is held with the store's records every now and then.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from kew.domain.config import SHORTEST_TTL
from kew.domain.task import Found, Submission, Task, TaskStatus, Unreadable

KEPT: Final = 64  # of tasks that failed or were cancelled
SURELY_ANSWERED: Final = SHORTEST_TTL  # seconds after which no sending of a submit can arrive


class Held:
    """One task that needs a pin."""

    __slots__ = ("name", "nonce", "queue", "seen_at", "task_id")

    def __init__(self, call: Submission, queue: str) -> None:
        self.task_id = call.id
        self.nonce = call.nonce
        self.name = call.function
        self.queue = queue
        self.seen_at: float | None = None  # by the first check


class Pins:
    """Which tasks need which pins. `forget` is called with the name of each that no task needs."""

    def __init__(self, forget: Callable[[str], None]) -> None:
        self._forget = forget
        self._uses: dict[str, int] = {}
        self._by_task: dict[str, list[Held]] = {}
        self._needed: dict[str, OrderedDict[Held, None]] = defaultdict(OrderedDict)  # by queue
        self._kept: OrderedDict[Held, None] = OrderedDict()  # for a replay

    def add(self, name: str) -> None:
        """A submit made this pin; it lasts as long as its tasks."""
        self._uses[name] = 0

    def stay(self, name: str) -> None:
        """The program registered the function, so its pin stays as long as the process."""
        self._uses.pop(name, None)

    def hold(self, call: Submission, queue: str) -> None:
        """A task of `queue` needs its pin from now on."""
        if call.function not in self._uses:
            return
        held = Held(call, queue)
        self._uses[held.name] += 1
        self._by_task.setdefault(held.task_id, []).append(held)
        self._needed[queue][held] = None

    def release_unused(self, name: str) -> None:
        """Forget the pin if no task came of the call that made it."""
        if self._uses.get(name) == 0:
            del self._uses[name]
            self._forget(name)

    def not_stored(self, call: Submission) -> None:
        """This submit was refused, for certain."""
        for held in self._of(call.id, call.nonce):
            if held.name == call.function:
                self._release(held)
                return

    def taken(self, task: Task) -> None:
        """The task is about to run, perhaps after a replay."""
        for held in self._of(task.id, task.call.nonce):
            if held in self._kept:
                del self._kept[held]
                self._needed[held.queue][held] = None

    def settled(self, task: Task, status: TaskStatus) -> None:
        """The store says that the task is in this status now."""
        for held in self._of(task.id, task.call.nonce):
            if status is TaskStatus.COMPLETED:
                self._release(held)
            elif status in (TaskStatus.FAILED, TaskStatus.CANCELLED):
                self._keep(held)

    def ended(self, task_id: str) -> None:
        """The store notified this process: a task of this id failed or was cancelled elsewhere."""
        for held in list(self._by_task.get(task_id, ())):
            self._keep(held)

    def release_ended(self) -> None:
        """Nothing can be replayed any more."""
        for held in list(self._kept):
            self._release(held)

    def clear(self) -> None:
        """Forget every pin that a submit made."""
        for name in list(self._uses):
            self._forget(name)
        for each in (self._uses, self._by_task, self._needed, self._kept):
            each.clear()

    # --- comparing with the store

    def due_for_check(self, queue: str, now: float, limit: int) -> list[Held]:
        """The tasks of `queue` whose last check is longest ago, at most `limit`; none whose submit may still arrive.

        `now`: any monotonic clock, in seconds.
        """
        needed = self._needed[queue]
        due: list[Held] = []
        for held in list(islice(needed, limit)):
            needed.move_to_end(held)
            if held.seen_at is None:
                held.seen_at = now
            if now - held.seen_at >= SURELY_ANSWERED:
                due.append(held)
        return due

    def compare(self, checked: Sequence[Held], records: Sequence[Found]) -> None:
        """Release what the store has no record of, or one that ended. One that can't be read may be waiting."""
        for held, record in zip(checked, records, strict=True):
            if held not in self._needed[held.queue] or isinstance(record, Unreadable):
                continue  # the first: it ended meanwhile
            if record is None or record.call.nonce != held.nonce:
                self._release(held)
            else:
                self.settled(record, record.status)

    # --- inside

    def _of(self, task_id: str, nonce: str) -> list[Held]:
        return [held for held in self._by_task.get(task_id, ()) if held.nonce == nonce]

    def _keep(self, held: Held) -> None:
        self._needed[held.queue].pop(held, None)
        self._kept[held] = None
        self._kept.move_to_end(held)
        while len(self._kept) > KEPT:
            self._release(next(iter(self._kept)))

    def _release(self, held: Held) -> None:
        self._needed[held.queue].pop(held, None)
        self._kept.pop(held, None)
        others = [each for each in self._by_task[held.task_id] if each is not held]
        if others:
            self._by_task[held.task_id] = others
        else:
            del self._by_task[held.task_id]
        if held.name in self._uses:
            self._uses[held.name] -= 1
            self.release_unused(held.name)
