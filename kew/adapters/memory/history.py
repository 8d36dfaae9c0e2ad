"""One queue's history: the open minute, and what was closed."""

from __future__ import annotations

from collections import defaultdict

from kew.domain.history import (
    COUNTED,
    HOUR_MS,
    HOURS_KEPT,
    MINUTE_MS,
    MINUTES_KEPT,
    NOTHING,
    Past,
    Tally,
    counted,
    histogram_of,
    plus,
    ran_ms,
)
from kew.domain.task import Task, TaskStatus
from kew.domain.view import QueueState


class MemoryHistory:
    """What happened in a queue; `minute`: the one that is open, since 1970."""

    def __init__(self) -> None:
        self.minute = -1
        self._begin(0, 0)
        self._minutes: dict[int, Tally] = {}
        self.hours: dict[int, Tally] = {}
        self.trimmed = -1  # the hour in which what is too old was removed last

    def _begin(self, ticket: int, token: int) -> None:
        self._ticket, self._token = ticket, token
        self._counts = dict.fromkeys(COUNTED, 0)
        self._wait, self._run = defaultdict[int, int](int), defaultdict[int, int](int)

    def note(self, before: Task, after: Task, now: int) -> None:
        """A step of a task. Every task has two, so they come first and call nothing."""
        if after.lease and not before.lease:
            self._wait[now - before.ready_at] += 1
        elif after.status is TaskStatus.COMPLETED:
            self._run[now - before.started_at] += 1
            self._counts["completed"] += 1
        else:
            if (ms := ran_ms(before, after, now)) is not None:
                self._run[ms] += 1
            for name in counted(before, after):
                self._counts[name] += 1

    def open_tally(self, state: QueueState, waiting: int) -> Tally:
        """The open minute so far."""
        return Tally(
            waiting=waiting,
            wait=histogram_of(self._wait),
            run=histogram_of(self._run),
            **self.open_counts(state),
        )

    def open_counts(self, state: QueueState) -> dict[str, int]:
        """What is `COUNTED` of the open minute. Submits and starts are what ticket and token have grown by."""
        drawn = {"submitted": state.ticket - self._ticket, "started": state.token - self._token}
        return {**self._counts, **drawn}

    def counts(self, state: QueueState) -> dict[str, int]:
        """What is `COUNTED` of all that is kept."""
        counts = self.open_counts(state)
        for tally in self.hours.values():
            for name in COUNTED:
                counts[name] += getattr(tally, name)
        return counts

    def roll(self, minute: int, state: QueueState, waiting: int) -> None:
        """Another minute begins; what happened in the last one is closed, if anything did."""
        tally = self.open_tally(state, waiting)
        if not tally.is_empty:
            hour = self.minute * MINUTE_MS // HOUR_MS
            self._minutes[self.minute] = plus(self._minutes.get(self.minute, NOTHING), tally)
            self.hours[hour] = plus(self.hours.get(hour, NOTHING), tally)
            self._begin(state.ticket, state.token)
        self.minute = minute

    def trim(self, now: int) -> None:
        """Remove what is older than it is kept, or lies ahead: once an hour."""
        if self.trimmed == now // HOUR_MS or not self._minutes:
            return
        self.trimmed = now // HOUR_MS
        self._minutes = _within(self._minutes, now // MINUTE_MS, MINUTES_KEPT)
        self.hours = _within(self.hours, now // HOUR_MS, HOURS_KEPT)

    def past(self, state: QueueState, waiting: int, now: int, step_ms: int, steps: int) -> Past:
        """The last steps, the present one included."""
        known = self._minutes if step_ms == MINUTE_MS else self.hours
        found = _within(known, now // step_ms, steps)
        tally = self.open_tally(state, waiting)
        number = self.minute * MINUTE_MS // step_ms
        if not tally.is_empty and now // step_ms - steps < number <= now // step_ms:
            found[number] = plus(found.get(number, NOTHING), tally)
        return Past(now_ms=now, step_ms=step_ms, steps=steps, waiting=waiting, tallies=found)


def _within(tallies: dict[int, Tally], last: int, steps: int) -> dict[int, Tally]:
    return {number: tally for number, tally in tallies.items() if last - steps < number <= last}
