"""Which small queues are searched: the tasks, the settings, and what people may do to them."""

from __future__ import annotations

from typing import Any

import attrs

from kew.domain.config import Settings
from kew.domain.snapshot import Snapshot
from kew.domain.task import Submission, Task, TaskStatus
from kew.domain.view import QueueState

T0 = 1_000_000
FAR = 10**9
LEASE_MS, RETRY_MS, SNOOZE_MS = 2, 1, 2
FUNCTION = "shop:send"


@attrs.frozen(kw_only=True)
class Bound:
    """A queue to be searched whole. Time passes in steps of 1 ms; a lease lasts two, a retry waits one.

    The number of claims, crashes, releases, extensions and time steps has no bound; `retries` bounds failures that
    run again, the settings bound losses. `wants` are the sizes of claims. `least` is how many states were found when
    it was written.
    """

    name: str
    tasks: tuple[Submission, ...]
    settings: Settings
    least: int
    retries: int = 1
    wants: tuple[int, ...] = (1,)
    lease_ms: int = LEASE_MS
    may: frozenset[str] = frozenset({"cancel", "extend", "release", "crash"})
    is_full_at_start: bool = True

    def start(self) -> Snapshot:
        """The first moment: all tasks are in, or none is yet."""
        tasks = [self._stored(call, n) for n, call in enumerate(self.tasks, 1)]
        kept = tasks if self.is_full_at_start else []
        known = frozenset({FUNCTION})
        return Snapshot(
            name="q",
            state=QueueState(settings=self.settings, ticket=len(kept)),
            tasks={task.id: task for task in kept},
            known={"a": known, "b": known},
        )

    def _stored(self, call: Submission, ticket: int) -> Task:
        return Task(
            call=call,
            queue="q",
            status=TaskStatus.QUEUED,
            ready_at=T0 + call.delay_ms,
            ticket=ticket,
            queued_at=T0,
        )


def calls(*changes: dict[str, Any]) -> tuple[Submission, ...]:
    """A submission for each."""
    plain = {
        "nonce": "n",
        "task_type": "t",
        "function": FUNCTION,
        "payload": b"",
        "priority": 2,
    }
    return tuple(Submission(**{**plain, "id": f"t{n}", **one}) for n, one in enumerate(changes))


def settings(**changes: Any) -> Settings:
    """No breaker, records that outlive the search, one loss allowed."""
    plain = {
        "max_workers": 2,
        "breaker_failures": 0,
        "breaker_reset_ms": 2,
        "max_deliveries": 1,
        "task_ttl_ms": FAR,
        "dead_letter_ttl_ms": FAR,
    }
    return Settings(**{**plain, **changes})


ALL = frozenset({"cancel", "extend", "release", "crash"})
BOUNDS = {
    bound.name: bound
    for bound in (
        Bound(
            name="three tasks, two workers",
            tasks=calls({}, {}, {}),
            settings=settings(max_deliveries=2),
            retries=0,
            least=7_469,
        ),
        Bound(
            name="one lease at a time",
            tasks=calls({}, {}, {}),
            settings=settings(max_workers=1),
            least=2_031,
        ),
        Bound(
            name="priorities and deferral",
            tasks=calls({"priority": 3}, {}, {"priority": 1, "delay_ms": 2}),
            settings=settings(max_deliveries=0),
            wants=(1, 2),
            may=frozenset({"cancel", "crash"}),
            least=13_834,
        ),
        Bound(
            name="at most once",
            tasks=calls({"at_most_once": True}, {"at_most_once": True}, {}),
            settings=settings(),
            retries=0,
            wants=(2,),
            least=1_654,
        ),
        Bound(
            name="a breaker with one probe",
            tasks=calls({}, {}, {}),
            settings=settings(breaker_failures=2, max_deliveries=0),
            may=frozenset({"answer", "cancel", "crash", "release"}),
            least=10_035,
        ),
        Bound(
            name="a breaker with two probes, reset and turned off",
            tasks=calls({}, {}),
            settings=settings(breaker_failures=1, breaker_probes=2, max_deliveries=0),
            wants=(2,),
            may=frozenset({"answer", "cancel", "crash", "reset", "configure"}),
            least=3_422,
        ),
        Bound(
            name="snoozes of tasks and of the queue",
            tasks=calls({}, {"at_most_once": True}),
            settings=settings(breaker_failures=1),
            may=frozenset({"snooze", "snooze the queue", "cancel", "crash", "pause"}),
            least=4_364,
        ),
        Bound(
            name="submitted, replayed, paused, expired",
            tasks=calls({}, {"delay_ms": 1}),
            settings=settings(max_size=1, max_deliveries=0, task_ttl_ms=2, dead_letter_ttl_ms=3),
            may=ALL | {"submit", "replay", "pause"},
            is_full_at_start=False,
            least=16_282,
        ),
    )
}
"""What every run searches: less than a minute on one core."""

LONGER = {
    bound.name: bound
    for bound in (
        Bound(
            name="three tasks that fail and are lost",
            tasks=calls({}, {}, {}),
            settings=settings(),
            lease_ms=1,
            least=27_867,
        ),
        Bound(
            name="three tasks, two workers, everything",
            tasks=calls({}, {}, {}),
            settings=settings(),
            least=71_623,
        ),
        Bound(
            name="two probes, everything",
            tasks=calls({}, {}),
            settings=settings(breaker_failures=1, breaker_probes=2),
            wants=(2,),
            may=ALL | {"reset", "configure"},
            least=69_076,
        ),
    )
}
"""What `KEW_EXHAUSTIVE=long` searches besides."""
