"""What is done to schedules, and asked about them. They belong to the namespace; their names are unique in it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from kew.app.ports.operation import Operation
from kew.domain.requests import Word
from kew.domain.schedule import Schedule, ScheduleVerb, StoredSchedule, TickCommit


@attrs.frozen(kw_only=True)
class ListedSchedules:
    """All schedules by name, and the store's instant. `unreadable`: the names of those that can't be read."""

    now_ms: int
    schedules: Sequence[StoredSchedule]
    unreadable: Sequence[str] = ()


@attrs.frozen(kw_only=True)
class TickAnswer:
    """What became of a tick, the store's instant, and the schedule as it is now; None: there is none."""

    word: Word
    now_ms: int
    schedule: StoredSchedule | None = None


@attrs.frozen
class PutSchedule(Operation[Word]):
    """Keep a schedule in place of the one of its name: DONE or SAME. The processes of its queue are notified.

    `edition` is unique to this request.
    """

    name = "put_schedule"
    is_awaited = True

    schedule: Schedule
    edition: str

    @property
    def queue(self) -> str:
        """The one to which its ticks are submitted."""
        return self.schedule.queue


@attrs.frozen
class SteerSchedule(Operation[Word]):
    """Pause, resume or remove the schedule of this name: DONE, SAME or MISSING.

    The processes of `queue` are notified.
    """

    name = "steer_schedule"
    is_awaited = True

    queue: str
    schedule: str
    verb: ScheduleVerb
    note: str = ""


@attrs.frozen
class ListSchedules(Operation[ListedSchedules]):
    """Every schedule of the namespace; with `queues`, those of other queues may be left out."""

    name = "schedules"
    changes = False
    is_awaited = True

    queues: tuple[str, ...] = ()


@attrs.frozen
class Tick(Operation[TickAnswer]):
    """Deal with a schedule's ticks up to an instant and submit the task of the last, at once, or do neither.

    The answer is a word of `kew.domain.schedule.judge` or, if that is DONE, what became of the submit.
    """

    name = "tick"

    queue: str
    commit: TickCommit
