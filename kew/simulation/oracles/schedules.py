"""A tick is one task: never early, never twice, and exactly once while a process lives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from kew.app.ports import Purge, PutSchedule, SteerSchedule, Tick
from kew.compat import override
from kew.domain.requests import Word
from kew.domain.schedule import Missed, Overlap, Schedule, TickCommit, due_in, tick_id
from kew.domain.task import Task
from kew.simulation.facts import Facts
from kew.simulation.oracle import Oracle, Step

KEPT: Final = "kept-"  # so begin the names of schedules that no user disturbs
LATE_MS: Final = 300_000  # after which a tick is there, since schedules are read every few minutes


class Schedules(Oracle):
    """It counts the ticks of each schedule by itself, and looks at every task with the id of a tick."""

    name = "schedules"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._seen: set[str] = set()  # ticks that became tasks
        self._refused: set[str] = set()  # ticks that were dealt with otherwise
        self._kept: dict[str, tuple[Schedule, int]] = {}  # since when, undisturbed
        self._disturbed: set[str] = set()
        self._paused: set[str] = set()
        self._now = 0

    @override
    def judge(self, step: Step) -> Iterator[str]:
        self._now = step.now
        match step.operation:
            case PutSchedule(schedule) if step.reply is Word.DONE:
                self._put(schedule, step.now)
            case SteerSchedule(_, name, verb) if step.reply is not Word.MISSING:
                self._disturbed.add(name)
                self._note_pause(name, verb.value)
            case Purge():
                self._disturbed.update(self._kept)
                self._paused.clear()
            case Tick(_, commit):
                self._note_passed_over(commit, step)
                if step.reply.word in (Word.DUPLICATE, Word.COSTLY, Word.LATE):
                    self._refused.add(tick_id(commit.name, commit.upto))
                if commit.name in self._paused and step.alterations:
                    yield f"schedule {commit.name} is paused, and a tick was submitted"
        for one in step.alterations:
            due = due_in(one.id) if one.is_created else None
            if due is not None:
                yield from self._created(one.id, due, one.new, step)

    def _put(self, schedule: Schedule, now: int) -> None:
        name = schedule.name
        if name in self._kept:
            self._disturbed.add(name)
        self._kept[name] = schedule, now

    def _note_pause(self, name: str, verb: str) -> None:
        if verb == "pause":
            self._paused.add(name)
        else:
            self._paused.discard(name)

    def _note_passed_over(self, commit: TickCommit, step: Step) -> None:
        """Ticks may be passed over once they are later than can be caught up with."""
        schedule, _ = self._kept.get(commit.name, (None, 0))
        if schedule is None or step.reply.word not in (Word.DONE, Word.SAME):
            return
        last = min(commit.upto, step.now - schedule.catch_up_ms - 1)
        first = commit.after // schedule.every_ms + 1
        for number in range(first, last // schedule.every_ms + 1):
            self._refused.add(tick_id(commit.name, number * schedule.every_ms))

    def _created(self, task_id: str, due: int, task: Task | None, step: Step) -> Iterator[str]:
        if task_id in self._seen:
            yield f"{task_id} became a task twice"
        self._seen.add(task_id)
        if due > step.now:
            yield f"{task_id} became a task {due - step.now} ms too early"
        if task is not None and task.ready_at < due:
            yield f"{task_id} may start {due - task.ready_at} ms too early"
        name = task_id.rpartition("@")[0]
        schedule, _ = self._kept.get(name, (None, 0))
        if schedule is not None and name not in self._disturbed and due % schedule.every_ms:
            yield f"{task_id} is no tick of every {schedule.every_ms} ms"

    @override
    def forgot(self) -> None:
        self._disturbed.update(self._kept)
        self._seen.clear()
        self._paused.clear()

    @override
    def at_end(self, records: Mapping[str, Task]) -> Iterator[str]:
        """Each tick of a schedule for which every one is to be a task is one."""
        for name, (schedule, since) in self._kept.items():
            is_exact = schedule.overlap is Overlap.ALLOW and schedule.missed is Missed.ALL
            if name in self._disturbed or not is_exact or not name.startswith(KEPT):
                continue
            end = min(schedule.ends_at or self._now, self._now - LATE_MS)
            first = max(since, (schedule.starts_at or 0) - 1) // schedule.every_ms + 1
            for number in range(first, -(-end // schedule.every_ms)):
                task_id = tick_id(name, number * schedule.every_ms)
                if task_id not in self._seen | self._refused:
                    yield f"{task_id} never became a task"


ORACLE = Schedules
