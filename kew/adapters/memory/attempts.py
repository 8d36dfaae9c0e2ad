"""What is kept of a queue's failed attempts, in memory or in a file."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

from kew.domain.attempts import FailedAttempt, HowFailed, with_attempt
from kew.domain.failures import CountedFailure
from kew.domain.task import Task

LifeKey = tuple[int, str]  # ticket and id


class KeptAttempts:
    """The last attempts of each life of a task that failed, and what the breaker has counted."""

    attempts: MutableMapping[LifeKey, tuple[FailedAttempt, ...]]
    counted: MutableMapping[int, CountedFailure]

    def note(self, task: Task, attempt: FailedAttempt) -> None:
        """An attempt of the task failed."""
        key = (task.ticket, task.id)
        self.attempts[key] = with_attempt(self.attempts.get(key, ()), attempt)

    def attempts_of(self, ticket: int, task_id: str) -> Sequence[FailedAttempt]:
        """The attempts that are kept, oldest first."""
        return self.attempts.get((ticket, task_id), ())

    def last_attempt(self, ticket: int, task_id: str) -> FailedAttempt | None:
        """The last of them; None: there is none."""
        attempts = self.attempts_of(ticket, task_id)
        return attempts[-1] if attempts else None

    def group_of(self, task: Task) -> str:
        """The group of a task that fails for good now."""
        last = self.last_attempt(task.ticket, task.id)
        return last.group if last else HowFailed.UNKNOWN.value

    def forget(self, ticket: int, task_id: str) -> None:
        """Keep none of its attempts."""
        self.attempts.pop((ticket, task_id), None)
