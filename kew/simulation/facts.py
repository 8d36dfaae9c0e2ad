"""What really happened, as users and an all-knowing observer saw it: the evidence that oracles judge by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, NoReturn

import attrs

from kew.app.info import TaskInfo
from kew.domain.task import Task
from kew.simulation.errors import Violation
from kew.simulation.plan import Plan

if TYPE_CHECKING:
    from kew.simulation.loop import SimulationLoop

LeaseKey = tuple[str, int]  # a task's id and the fencing token of the lease


@attrs.define(kw_only=True)
class Asked:
    """A task that a user submitted, or tried to submit.

    `ends` are the statuses that it may end in when nothing goes wrong. `delay_ms` and `due_at` are
    as they were asked for. `max_retries` None: the queue's, whatever it is then.
    """

    id: str
    queue: str
    ends: frozenset[str]
    delay_ms: int = 0
    due_at: int | None = None
    at_most_once: bool = False
    max_retries: int | None = None
    is_accepted: bool = False
    accepted_at: float = 0.0
    is_refused: bool = False
    is_pinned: bool = False


@attrs.define(kw_only=True)
class Lease:
    """A lease that was granted; `until` is virtual time, unless it is extended."""

    identity: str
    holder: str
    until: float


@attrs.define(kw_only=True)
class Attempt:
    """One run of a task's code. `is_stubborn`: it can't be stopped (a thread, or a coroutine that refuses)."""

    host: str
    queue: str
    number: int
    started_at: float
    has_finished: bool = False
    has_raised: bool = False
    value: object = None
    is_stubborn: bool = False
    is_over: bool = False


@attrs.define(eq=False, kw_only=True)
class Facts:
    """The evidence of one run."""

    plan: Plan
    loop: SimulationLoop
    asked: dict[str, Asked] = attrs.field(factory=dict)
    leases: dict[LeaseKey, Lease] = attrs.field(factory=dict)
    attempts: dict[LeaseKey, Attempt] = attrs.field(factory=dict)
    incarnations: dict[str, str] = attrs.field(factory=dict)
    slots: dict[str, int] = attrs.field(factory=dict)
    unstarted: dict[tuple[str, str], float] = attrs.field(factory=dict)  # id and lease; since when
    forgotten_at: float = -1.0
    healed_at: float = float("inf")  # when the faults stopped
    gone: set[str] = attrs.field(factory=set)  # records removed rightly
    expired_by_leap: set[str] = attrs.field(
        factory=set
    )  # records removed when the clock may have leapt
    happenings: dict[str, int] = attrs.field(factory=dict)
    records: Mapping[str, Task] = attrs.field(factory=dict)  # the store's own
    board: list[TaskInfo] = attrs.field(factory=list)  # submitted tasks that everybody may await
    hooked: set[str] = attrs.field(factory=set)
    # How much longer than right a queue's peek may be, in a store whose peek is no more than its contract says.
    peek_may_add_ms: Callable[[str], int] | None = None

    @property
    def has_forgotten(self) -> bool:
        """The store lost writes at least once: what it said before may be untrue."""
        return self.forgotten_at >= 0

    def fail(self, oracle: str, text: str) -> NoReturn:
        """End the run: a promise is broken. Catching the error doesn't help."""
        violation = Violation(oracle, f"t={self.loop.world_time():.3f} {text}")
        self.loop.note("VIOLATION", oracle, text)
        self.loop.fail(violation)
        raise violation

    def count(self, what: str) -> None:
        """Count something that workloads are to bring about."""
        self.happenings[what] = self.happenings.get(what, 0) + 1

    # --- answers to submitters

    def accepted(self, task_id: str) -> None:
        """A submit returned."""
        asked = self.asked[task_id]
        if asked.is_refused:
            self.fail("submit", f"{task_id}: accepted after it had been refused")
        if not asked.is_accepted:
            asked.is_accepted, asked.accepted_at = True, self.loop.world_time()

    def refused(self, task_id: str) -> None:
        """A submit was surely not carried out, and is not tried again."""
        self.asked[task_id].is_refused = True

    # --- a store that forgets

    def forgot(self, since: float, before: Collection[str], records: Mapping[str, Task]) -> None:
        """The store went back to `since`. What was accepted after that may be gone; what came before may not.

        `before`: the ids that it had. The answer to a submit may be on its way yet, or its process stand still.
        """
        self.forgotten_at = self.loop.world_time()
        for task_id in before:
            asked = self.asked.get(task_id)
            if task_id not in records and not (asked and asked.is_accepted):
                self.gone.add(task_id)
        for asked in self.asked.values():
            if asked.is_accepted and asked.id not in records and asked.id not in self.gone:
                if asked.accepted_at < since:
                    self.fail("keeping", f"{asked.id} was accepted before what the store forgot")
                self.gone.add(asked.id)
