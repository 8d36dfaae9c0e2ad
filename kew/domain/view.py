"""What the rules read of one queue: its state, and a view of its tasks and leases."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Protocol

import attrs

from kew.domain.breaker import Breaker, Transition
from kew.domain.config import Settings, SettingValue
from kew.domain.holding import Hold, Signature
from kew.domain.key_limits import OwnLimits
from kew.domain.sharing import Starved
from kew.domain.task import Task


@attrs.frozen(kw_only=True)
class QueueState:
    """What a queue remembers besides its tasks. `ticket` and `token` are the last ones given out.

    `version` counts the changes of the settings, for people. `edition` identifies the settings in force: the process
    that declared them drew it, so a queue that was deleted and created again has another one. `declared`: what the code
    declares in place of each setting that is overridden. `signed`: who overrode it when, as far as that is known.
    `holds`: why and since when it is paused or draining. `breaker_log`: its breaker's last
    transitions, by slot.
    """

    settings: Settings
    version: int = 1
    edition: str = ""
    paused: bool = False
    breaker: Breaker = Breaker()
    ticket: int = 0
    token: int = 0
    longest_lease_ms: int = 0  # that was granted or extended so far
    gates: Mapping[str, tuple[int, ...]] = attrs.field(factory=dict)  # what gates remember, by name
    declared: Mapping[str, SettingValue] = attrs.field(factory=dict)
    holds: Mapping[str, Hold] = attrs.field(factory=dict)
    signed: Mapping[str, Signature] = attrs.field(factory=dict)
    breaker_log: Mapping[int, Transition] = attrs.field(factory=dict)


# Wide: one method for each question that the rules ask.
class View(Protocol):
    """One queue as it is at this moment; reading it changes nothing."""

    @property
    def name(self) -> str:
        """The queue's name."""
        ...

    @property
    def state(self) -> QueueState:
        """All but the tasks."""
        ...

    def find(self, task_id: str) -> Task | None:
        """The record of an id in the whole namespace, whichever queue it is in."""
        ...

    def holder(self, key: str, now: int) -> Task | None:
        """The task that holds a unique key."""
        ...

    @property
    def takes_turns(self) -> bool:
        """Tasks with keys wait."""
        ...

    def waiting_of(self, key: str) -> int:
        """How many tasks of a key wait, due or not."""
        ...

    def held_of(self, key: str) -> int:
        """How many leases of a key's tasks are current, ended ones included."""
        ...

    @property
    def key_logs(self) -> Mapping[str, tuple[int, ...]]:
        """What the rates of keys remember, by key."""
        ...

    @property
    def key_limits(self) -> Mapping[str, OwnLimits]:
        """The limits that keys have of their own, ended ones perhaps included."""
        ...

    def waiting(self) -> int:
        """How many tasks are QUEUED or RETRY, due or not."""
        ...

    def held(self) -> int:
        """How many leases are current, ended ones included."""
        ...

    def ready(self, incarnation: str, now: int, limit: int) -> Sequence[Task]:
        """Due tasks that may start in this incarnation, as far as gates of tasks go, in order, at most `limit`."""
        ...

    def waiting_by(self, instant: int, limit: int) -> Sequence[Task]:
        """Waiting tasks of any function that are due by `instant`, in order, at most `limit`."""
        ...

    def unstarted(self, now: int, limit: int) -> Sequence[Task]:
        """Waiting tasks that no process has taken in their time, earliest first, at most `limit`."""
        ...

    def overdue(self, now: int, limit: int) -> Sequence[Task]:
        """Tasks whose lease has ended, earliest first, at most `limit`."""
        ...

    def leased_beyond(self, instant: int, limit: int) -> Sequence[Task]:
        """Tasks whose lease ends after `instant`, earliest first, at most `limit`."""
        ...

    def leases_of(self, prefix: str) -> Sequence[Task]:
        """Tasks whose current lease begins with `prefix`."""
        ...

    def lane(self, key: str) -> int:
        """The last sequence answered on a lane; 0: the lane is unknown."""
        ...

    def next_due(self, incarnation: str, now: int, taken: Sequence[Task] = ()) -> int | None:
        """The earliest due time after `now` of a waiting task that this incarnation can run (ms), once `taken` start.

        A task whose key waits for its rate counts from when the rate lets it start. Tasks of a key at its limit are
        left out: time alone doesn't let them start. The end of a key's own limits counts, too.
        """
        ...

    def next_lease_end(self) -> int | None:
        """The earliest end of a current lease (ms)."""
        ...

    def announced_by(self, incarnation: str) -> int:
        """How many functions this incarnation announced, as far as the queue knows."""
        ...

    def functions_of(self, incarnation: str) -> Collection[str]:
        """The functions that this incarnation announced, as far as the queue knows."""
        ...

    def due_reasons(self, now: int) -> Set[str]:
        """The reasons under which due tasks are parked, or would be."""
        ...

    def can_run(self, incarnation: str, function: str) -> bool:
        """Whether this incarnation may be given tasks of the function."""
        ...

    @property
    def starved(self) -> Mapping[str, Starved]:
        """The processes that took all they were allowed when they last claimed, and wanted more while tasks waited."""
        ...
