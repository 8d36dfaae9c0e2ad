"""What happened in a queue, by the minute for a day and by the hour for thirty days: counts, and how long it took.

A step (a minute or an hour of the store's clock) has a `Tally`. The store adds to the open minute with the claims,
submits and settles that happen anyway, and closes it with the first change of a later minute: it then stands by itself,
and is added to its hour. Steps in which nothing happened have no tally.

Times are counted in buckets: the first has those below 1 ms, and each further one ends at twice the time of the one
before. So an estimated percentile is wrong by less than a factor of two, however many times were counted.
`lua/include/history.lua` mirrors this file.
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from operator import attrgetter
from typing import Any, Final

import attrs

from kew.domain.errors import InvalidConfigError, shown
from kew.domain.outcomes import NOT_STARTED, RELEASE, settled_word
from kew.domain.task import Task, TaskStatus
from kew.domain.values import maker

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
MINUTES_KEPT: Final = 24 * 60
HOURS_KEPT: Final = 30 * 24
BUCKETS: Final = 28  # the last one has everything from 2^26 ms (18 hours) on
RECENT: Final = 5  # whole minutes from which rates are computed, besides the open one
SHORTEST_MS: Final = 10_000  # the least time for which a rate is computed

Histogram = tuple[int, ...]  # how many times were in each bucket, without empty buckets at the end


@attrs.frozen(kw_only=True, weakref_slot=False)
class Tally:
    """What happened in a time.

    `started`: leases granted. `failed`: tasks that became dead letters, whatever the reason. `retried`: failed attempts
    after which the task waits for another. `lost`: leases that ended because their worker went silent. `cancelled`:
    tasks that ended so, without those that `expired`. `snoozed`: runs that asked to come back later. `waiting`: tasks
    that waited at the end of the time, deferred ones included.

    `wait` and `run` are histograms: how long tasks had been due when they were started, and how long runs took that
    returned, raised or snoozed.
    """

    submitted: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    retried: int = 0
    lost: int = 0
    cancelled: int = 0
    expired: int = 0
    snoozed: int = 0
    waiting: int = 0
    wait: Histogram = ()
    run: Histogram = ()

    @property
    def is_empty(self) -> bool:
        """Nothing happened."""
        return not any(counts_of(self))

    @property
    def drained(self) -> int:
        """How many tasks left the line for good: started, and neither retried, snoozed nor lost."""
        return max(0, self.started - self.retried - self.snoozed - self.lost)


COUNTED: Final = (
    *("submitted", "started", "completed", "failed", "retried"),
    *("lost", "cancelled", "expired", "snoozed"),
)
OF_A_POINT: Final = (*COUNTED, "wait", "run")
NOTHING: Final = Tally()
make_tally = maker(Tally)
counts_of = attrgetter(*COUNTED)
values_of = attrgetter(*OF_A_POINT)


def plus(one: Tally, later: Tally) -> Tally:
    """Both together."""
    counts = {name: getattr(one, name) + getattr(later, name) for name in COUNTED}
    return Tally(
        waiting=later.waiting,
        wait=_added(one.wait, later.wait),
        run=_added(one.run, later.run),
        **counts,
    )


def sum_of(tallies: Iterable[Tally]) -> Tally:
    """All of them together; the last one says how many wait."""
    return functools.reduce(plus, tallies, NOTHING)


def _added(one: Histogram, other: Histogram) -> Histogram:
    short, long = sorted((one, other), key=len)
    return tuple(map(sum, zip(short, long, strict=False))) + long[len(short) :]


# --- counting


def bucket_of(ms: int) -> int:
    """The bucket of a time, from 0 on. A negative one (the clock stepped back) is in the first."""
    return min(max(0, ms).bit_length(), BUCKETS - 1)


def counted(before: Task, after: Task) -> Sequence[str]:
    """The names in `Tally` of what a step of a task was, submits and starts left out."""
    names = []
    if before.lease and not after.lease:
        if after.settled == before.settled:
            names.append("lost")
        elif after.snoozes > before.snoozes:
            names.append("snoozed")
        elif after.status is TaskStatus.RETRY:
            names.append("retried")
    if after.is_terminal and not before.is_terminal:
        is_expired = not before.lease and after.error != before.error
        names.append(_end_of(after, is_expired=is_expired))
    return names


def _end_of(task: Task, *, is_expired: bool) -> str:
    if task.status is TaskStatus.CANCELLED:
        return "expired" if is_expired else "cancelled"
    return task.status.value


def ran_ms(before: Task, after: Task, now: int) -> int | None:
    """How long a run took that ends with this step; None: none ends, or it was lost or released."""
    if not before.lease or after.lease or after.settled == before.settled:
        return None
    return None if settled_word(after) in (RELEASE, NOT_STARTED) else now - before.started_at


def histogram_of(times: Mapping[int, int]) -> Histogram:
    """The histogram of these times (ms), each with how often it was counted."""
    buckets = [0] * BUCKETS
    for ms, count in times.items():
        buckets[bucket_of(ms)] += count
    used = max((n for n, count in enumerate(buckets, 1) if count), default=0)
    return tuple(buckets[:used])


# --- reading


@attrs.frozen(kw_only=True)
class Past:
    """What a store keeps of some time: a tally by the step's number since 1970, if anything happened in it.

    `step_ms`: the length of a step. The last one, which `now_ms` is in, goes on. `waiting`: how many tasks wait now.
    """

    now_ms: int
    step_ms: int
    steps: int
    waiting: int
    tallies: Mapping[int, Tally]


@attrs.frozen(kw_only=True)
class HistoryPoint(Tally):
    """What happened in one step of a queue's history; `at`: when the step began.

    `waiting` is None if nothing is known of it: nothing happened between the beginning of the history and this step.
    """

    at: datetime
    waiting: int | None = None  # type: ignore[assignment]  # here it may be unknown

    def percentile(self, what: str, share: float) -> float | None:
        """The seconds within which this `share` (0 to 1) of the waits ("wait") or runs ("run") were; None: none was."""
        return percentile(self.run if what == "run" else self.wait, share)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `at` as ISO 8601 text, and percentiles (seconds) in place of histograms."""
        values = {name: getattr(self, name) for name in COUNTED}
        return {
            "at": self.at.isoformat(),
            **values,
            "waiting": self.waiting,
            **{
                f"{what}_p{share}": self.percentile(what, share / 100)
                for what in ("wait", "run")
                for share in (50, 95, 99)
            },
        }


@attrs.frozen(kw_only=True)
class QueueHistory:
    """A queue's history: a point for every `step` seconds, oldest first. The last step goes on."""

    queue: str
    step: int
    points: tuple[HistoryPoint, ...]

    @property
    def total(self) -> HistoryPoint:
        """All points together."""
        first, last = self.points[0], self.points[-1]
        return _point(first.at, sum_of(self.points), last.waiting)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "queue": self.queue,
            "step": self.step,
            "points": [point.to_dict() for point in self.points],
        }


def check_span(span: object) -> tuple[int, int]:
    """The length of a step (ms), and how many make up `span` seconds. Raises `InvalidConfigError`."""
    most = HOURS_KEPT * HOUR_MS // 1000
    if type(span) not in (int, float) or not 0 < span <= most:  # type: ignore[operator]
        raise InvalidConfigError(
            f"span must be a number of seconds, more than 0 and at most {most} (30 days), not {shown(span)}"
        )
    ms = int(span * 1000)  # type: ignore[operator]
    step_ms = MINUTE_MS if ms <= MINUTES_KEPT * MINUTE_MS else HOUR_MS
    return step_ms, max(1, -(-ms // step_ms))


def history_of(queue: str, past: Past) -> QueueHistory:
    """A point for each step. Where nothing happened, as many tasks wait as before."""
    last = past.now_ms // past.step_ms
    known = past.waiting if not past.tallies else None
    points = []
    for number in range(last - past.steps + 1, last + 1):
        tally = past.tallies.get(number)
        known = known if tally is None else tally.waiting
        at = datetime.fromtimestamp(number * past.step_ms / 1000, UTC)
        points.append(_point(at, tally or NOTHING, known))
    points[-1] = attrs.evolve(points[-1], waiting=past.waiting)
    return QueueHistory(queue=queue, step=past.step_ms // 1000, points=tuple(points))


def _point(at: datetime, tally: Tally, waiting: int | None) -> HistoryPoint:
    return HistoryPoint(
        at=at, waiting=waiting, **dict(zip(OF_A_POINT, values_of(tally), strict=True))
    )


def percentile(histogram: Histogram, share: float) -> float | None:
    """The seconds within which this share of the times was, wrong by less than a factor of two; None: no times.

    It goes evenly through the bucket that contains it. Of the last bucket only the beginning is known.
    """
    up_to = list(accumulate(histogram))  # how many were in each bucket, and in those before it
    if not up_to or not up_to[-1]:
        return None
    rank = share * up_to[-1]
    bucket = bisect_left(up_to, max(1, rank))
    seen = up_to[bucket] - histogram[bucket]
    begin, end = (2 ** (bucket - 1), 2**bucket) if bucket else (0, 1)
    end = begin if bucket == BUCKETS - 1 else end
    return round((begin + (end - begin) * max(0.0, rank - seen) / histogram[bucket]) / 1000, 6)


# --- rates


@attrs.frozen(kw_only=True)
class Rates:
    """What happens in a queue per minute: `drained` are tasks that leave the line for good, `lost` lose a worker."""

    submitted: float = 0.0
    started: float = 0.0
    drained: float = 0.0
    completed: float = 0.0
    failed: float = 0.0
    lost: float = 0.0


NO_RATES: Final = Rates()


def rates_of(past: Past) -> Rates:
    """From the minutes in which anything happened, to now: a queue that has just begun isn't slow."""
    if not past.tallies:
        return NO_RATES
    elapsed = max(SHORTEST_MS, past.now_ms - min(past.tallies) * past.step_ms)
    sums = map(sum, zip(*map(counts_of, past.tallies.values()), strict=True))
    whole = make_tally(*sums, 0, (), ())
    names = [field.name for field in attrs.fields(Rates)]
    return Rates(**{name: round(getattr(whole, name) * MINUTE_MS / elapsed, 3) for name in names})
