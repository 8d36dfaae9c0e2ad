"""A queue's history says what happened in it: its totals are those of what the witness saw.

A store that lost its last writes, and a sweep that removed what is too old, restart the comparison.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from kew.adapters.memory.namespace import MemoryQueue
from kew.app.ports import Swept
from kew.compat import override
from kew.domain.requests import LostWorker
from kew.domain.task import Task, TaskStatus
from kew.simulation.facts import Facts
from kew.simulation.oracle import Alteration, Oracle, Step

COMPARED: Final = ("submitted", "started", "completed", "failed", "ended", "lost")
NEVER: Final = -2  # no history is trimmed up to here
ENDS: Final = {
    TaskStatus.COMPLETED: "completed",
    TaskStatus.FAILED: "failed",
    TaskStatus.CANCELLED: "ended",
}


class History(Oracle):
    """It counts by itself, from records and answers."""

    name = "history"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._seen: dict[str, Counter[str]] = {}
        # When compared last: the hour of the last trimming, and the counts without what was seen.
        self._before: dict[str, tuple[int, dict[str, int]]] = {}
        self._has_forgotten = False

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.after is None:
            self._seen.pop(step.queue, None)
            self._before.pop(step.queue, None)
            return
        for one in step.alterations:
            if one.new is not None:
                seen = self._of(one.new.queue)
                for what in _happened(one, one.new):
                    seen[what] += 1
        lost: Sequence[LostWorker] = step.grant.lost if step.grant else ()
        if isinstance(step.reply, Swept):
            lost = step.reply.lost
        if lost:
            self._of(step.queue)["lost"] += sum(each.tasks for each in lost)
        yield from ()

    @override
    def look(
        self, queue: MemoryQueue, waiting: Mapping[str, Task], now: int, *, is_busy: bool
    ) -> Iterator[str]:
        indexed = queue.indexed
        counted, trimmed = indexed.history.counts(indexed.state), indexed.history.trimmed
        counted["ended"] = counted["cancelled"] + counted["expired"]
        seen = self._of(indexed.name)
        apart = {name: counted[name] - seen[name] for name in COMPARED}
        # After a loss a queue that had been deleted may be back, with a history that was no longer followed.
        unknown = NEVER if self._has_forgotten else trimmed
        known = self._before.get(indexed.name, (unknown, dict.fromkeys(COMPARED, 0)))
        self._before[indexed.name] = trimmed, apart
        if known[0] == trimmed and known[1] != apart:
            for name in COMPARED:
                if apart[name] != known[1][name]:
                    yield f"its history says {counted[name]} {name}, and {apart[name] - known[1][name]:+} is wrong"

    @override
    def forgot(self) -> None:
        self._has_forgotten = True
        self._before.clear()

    def _of(self, queue: str) -> Counter[str]:
        return self._seen.setdefault(queue, Counter())


def _happened(one: Alteration, new: Task) -> Iterator[str]:
    if one.is_created:
        yield "submitted"
    before = None if one.is_created else one.old
    for _ in range(new.attempt - (before.attempt if before else 0)):
        yield "started"
    if new.is_terminal and not (before and before.is_terminal):
        yield ENDS[new.status]


ORACLE = History
