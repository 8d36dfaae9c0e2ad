"""What a queue in memory and one in a file have in common: the parts of a change that don't concern an index."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, MutableMapping, Sequence

from kew.adapters.memory.attempts import KeptAttempts
from kew.compat import override
from kew.domain.key_limits import OwnLimits
from kew.domain.key_rooms import KeyLog
from kew.domain.queue import Change
from kew.domain.sharing import Starved
from kew.domain.task import Task, TaskStatus
from kew.domain.view import QueueState, View


class QueueBase(View):
    """A queue by its name and state, with the maps that a change writes to."""

    _name: str
    _state: QueueState
    _starved: MutableMapping[str, Starved]
    lanes: MutableMapping[str, int]

    @property
    @abstractmethod
    def _attempts(self) -> KeptAttempts: ...

    @abstractmethod
    def _limit_key(self, key: str, own: OwnLimits | None) -> None: ...

    @abstractmethod
    def _note_starts(self, logs: Sequence[tuple[str, KeyLog]], now: int) -> None: ...

    @property
    @override
    def name(self) -> str:
        return self._name

    @property
    @override
    def state(self) -> QueueState:
        return self._state

    @override
    def lane(self, key: str) -> int:
        return self.lanes.get(key, 0)

    @property
    @override
    def starved(self) -> Mapping[str, Starved]:
        return self._starved

    def forget_starved(self, incarnation: str) -> None:
        """Leave it no part of the limit any more."""
        self._starved.pop(incarnation, None)

    def _note(self, change: Change, now: int) -> None:
        """What few changes have beside tasks."""
        self._attempts.counted.update(change.counted)
        for who, starved in change.starved:
            if starved is None:
                self.forget_starved(who)
            else:
                self._starved[who] = starved
        for key, own in change.key_limits:
            self._limit_key(key, own)
        if change.key_logs:
            self._note_starts(change.key_logs, now)

    def _note_attempts(self, old: Task | None, task: Task, change: Change) -> None:
        """Keep what failed, until the task completes, is cancelled, or has its id used again."""
        for task_id, attempt in change.attempts:
            if task_id == task.id:
                self._attempts.note(task, attempt)
        has_failed = task.attempt > 1 or task.replays or task.status is TaskStatus.CANCELLED
        if task.is_terminal and task.status is not TaskStatus.FAILED and has_failed:
            self._attempts.forget(task.ticket, task.id)
        if old is not None and old.queue == self._name and old.ticket != task.ticket:
            self._attempts.forget(old.ticket, old.id)
