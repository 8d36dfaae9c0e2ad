"""Lists of waiting tasks of the memory store."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import attrs

from kew.adapters.memory.inside import Inside
from kew.adapters.memory.lines import Entry, Line
from kew.adapters.memory.namespace import MemoryQueue
from kew.app.ports import ListWaiting, WaitingTasks
from kew.domain.gates import functions
from kew.domain.listing import LOOKED_AT_ONCE, Part, Place
from kew.domain.task import Task, without_payload

Name = tuple[int, Part, int, str]  # of a part, as a place has it
START: Entry = (-1, 0, "")


async def list_waiting(store: Inside, operation: ListWaiting) -> WaitingTasks | None:
    known = store.namespace.queues.get(operation.queue)
    return None if known is None else Reading(known, operation, store._now()).page()


@attrs.define
class Reading:
    """One request: what it has found, and how far it has looked."""

    known: MemoryQueue
    operation: ListWaiting
    now: int
    looked: int = 0

    def page(self) -> WaitingTasks:
        """The next tasks that fit."""
        found: list[Task] = []
        stuck = self._is_stuck()
        for place, task in self._entries():
            if len(found) == self.operation.limit or self.looked > LOOKED_AT_ONCE:
                return WaitingTasks(tasks=found, after=place)
            if task is not None:
                is_stuck = stuck.setdefault(functions.reason_of(task.call.function), True)
                if self.operation.wanted.fits(task, self.now, is_stuck=is_stuck):
                    found.append(without_payload(task))
        return WaitingTasks(tasks=found, after=None)

    def _is_stuck(self) -> dict[str, bool]:
        known = self.known.indexed
        present = [(who, known.functions_of(who)) for who in self.known.present(self.now)]
        return {
            reason: not any(functions.opens(reason, who, names) for who, names in present)
            for reason in known.reasons()
        }

    def _entries(self) -> Iterator[tuple[Place, Task | None]]:
        """Each entry's task, None if it means nothing, with the place before it."""
        parts, start = self.known.indexed.parts(), self.operation.after or Place()
        first = (start.priority, start.part, start.scan, start.name)
        entry = (start.due_at, start.ticket, start.task_id) if start.ticket else START
        names = heapq.nsmallest(LOOKED_AT_ONCE, (name for name in parts if name >= first))
        place = start
        for name in names:
            for each, line in self._after(parts[name], entry if name == first else START):
                self.looked += 1
                is_current = line.is_current(each)
                yield place, self.known.indexed.find(each[2]) if is_current else None
                place = Place(*name, *each)
            place = max(place, Place(*name))
        if len(names) == LOOKED_AT_ONCE:
            self.looked = LOOKED_AT_ONCE + 1
            yield place, None

    def _after(self, lines: list[Line], entry: Entry) -> Iterator[tuple[Entry, Line]]:
        most = LOOKED_AT_ONCE + 1
        entries = [[(each, line) for each in line.after(entry, most)] for line in lines]
        return heapq.merge(*entries, key=lambda each: each[0])
